"""The pool of real images that no party has."""

import pytest
import torch

from cgm.data import CIFAR10, MNIST
from experiments.paper.plan import CHOICES, plan_jobs
from experiments.paper.pool import RealImages
from experiments.settings import compose_run
from tests.data.datasets.images import write_cifar10, write_mnist


@pytest.mark.parametrize(("dataset", "write"), [(MNIST(), write_mnist), (CIFAR10(), write_cifar10)])
def test_images_are_training_images_that_no_party_has_each_at_most_once(tmp_path, dataset, write):
    write(tmp_path)
    everything = dataset.load(str(tmp_path), seed=0).x.double()
    parties, others = everything[:6], everything[6:]

    generator = RealImages(str(tmp_path)).fit(parties, seed=3)

    drawn = generator.sample(len(others), seed=1)
    assert drawn.dtype == torch.float64
    assert sorted(x.flatten().tolist() for x in drawn) == sorted(x.flatten().tolist() for x in others)
    assert torch.equal(generator.sample(4, seed=2), generator.sample(4, seed=2))
    assert not torch.equal(generator.sample(4, seed=2), generator.sample(4, seed=3))
    with pytest.raises(ValueError, match=f"synthetic_size={len(others) + 1}: there are {len(others)} real images"):
        generator.sample(len(others) + 1, seed=1)


def test_settings_of_the_choice():
    jobs = plan_jobs(["pool"], ["mnist"], more=["data_dir=/data/of/mine"])

    assert {job.folder.split("/")[1] for job in jobs} == {"base", *(f"pool-{name}" for name in CHOICES["pool"])}
    generator = compose_run(jobs[-1].overrides).generator
    assert generator._target_ == "experiments.paper.pool.RealImages"
    assert generator.data_dir == "/data/of/mine"
