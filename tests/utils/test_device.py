import pytest
import torch

from cgm.utils.run import check_device, resolve_device


def test_cpu():
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(("available", "expected"), [(False, "cpu"), (True, "cuda")])
def test_auto(monkeypatch, available, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch, "empty", lambda *size, **options: None)  # there may be no GPU here

    assert resolve_device("auto") == torch.device(expected)


@pytest.mark.parametrize("name", ["gpu", "", "cpu:x", "mps", "meta", None, 1.5, "cuda:99"])
def test_bad_devices(name):
    with pytest.raises(ValueError, match=rf"^device={name}: not available on this machine \((.|\n)*\); use 'cpu'$"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["cpu", "auto", "cuda", "cuda:0", "cuda:12"])
def test_names_of_devices(name):
    check_device(name)


@pytest.mark.parametrize("name", ["gpu", "", "cpu:x", "mps", "meta", None, 1.5, "cuda:", "cuda:-1", "cuda:1x"])
def test_other_names_are_refused_without_a_look_at_the_machine(name):
    with pytest.raises(ValueError, match=f"^device={name}: expected cpu, cuda, cuda:0 "):
        check_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu():
    with pytest.raises(ValueError, match=r"^device=cuda: not available on this machine"):
        resolve_device("cuda")
    assert resolve_device("auto") == torch.device("cpu")
