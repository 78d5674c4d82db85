from cgm.utils.run import progress


def test_no_bar_without_a_terminal(capsys):
    with progress(3, "work") as bar:
        for _ in range(3):
            bar.update()

    assert bar.disable
    assert capsys.readouterr() == ("", "")
