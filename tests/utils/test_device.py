import pytest
import torch

from cgm.utils.device import resolve_device


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


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu():
    with pytest.raises(ValueError, match=r"^device=cuda: not available on this machine"):
        resolve_device("cuda")
    assert resolve_device("auto") == torch.device("cpu")
