"""Published numbers that the reproduction is compared with.

There are two sources: the paper (Tay et al., AAAI 2022), where a comment says so, and otherwise the notebook of results
that its authors published in 2021, which may be older than the paper. Numbers are means with standard errors, `None`
where none is given. Metrics are negated as in the paper: higher is better.
"""

from typing import Literal

from experiments.text import Setting

Variable = Literal["alpha", "beta"]  # what metrics are correlated with
Number = tuple[float, float | None]  # mean and standard error

SIZES = {  # points of each party, and |G|
    "credit_ratings": (1000, 100_000),
    "credit_card": (5000, 100_000),
    "mnist": (5000, 100_000),
    "cifar10": (5000, 100_000),
}

# correlations of α with each metric: mean and standard error over β = 1, 2, 4, 8 (Fig. 2)
ALPHA: dict[Setting, dict[str, Number]] = {
    ("credit_ratings", "equal_disjoint"): {
        "neg_mmd2_unbiased": (0.993, None),
        "neg_reverse_kl": (0.837, 0.051),
        "neg_wasserstein2": (0.986, None),
        "neg_class_imbalance": (0.736, 0.072),
        "size": (0.694, 0.019),
    },
    ("credit_ratings", "unequal"): {
        "neg_mmd2_unbiased": (0.918, 0.007),
        "neg_reverse_kl": (0.512, 0.213),
        "neg_wasserstein2": (0.812, 0.021),
        "neg_class_imbalance": (0.651, 0.061),
        "size": (0.719, 0.019),
    },
    ("credit_card", "equal_disjoint"): {"accuracy": (0.523, None)},  # accuracies: the paper, Sec. 6
    ("credit_card", "unequal"): {"accuracy": (0.791, None)},
    ("mnist", "equal_disjoint"): {
        "neg_mmd2_unbiased": (0.9996, None),
        "neg_reverse_kl": (-0.305, 0.125),
        "neg_wasserstein2": (0.963, None),
        "neg_class_imbalance": (0.967, 0.008),
        "size": (0.762, 0.009),
        "accuracy": (0.459, None),
    },
    ("mnist", "unequal"): {
        "neg_mmd2_unbiased": (0.992, None),
        "neg_reverse_kl": (0.950, 0.005),
        "neg_wasserstein2": (0.731, 0.024),
        "neg_class_imbalance": (0.995, 0.002),
        "size": (-0.948, 0.004),
        "accuracy": (0.338, None),
    },
    ("cifar10", "equal_disjoint"): {
        "neg_mmd2_unbiased": (0.9996, None),
        "neg_reverse_kl": (0.975, 0.003),
        "neg_wasserstein2": (0.997, None),
        "neg_class_imbalance": (0.915, 0.007),
        "size": (0.703, 0.003),
        "accuracy": (0.174, None),
    },
    ("cifar10", "unequal"): {
        "neg_mmd2_unbiased": (0.9996, None),
        "neg_reverse_kl": (0.977, None),
        "neg_wasserstein2": (0.954, 0.003),
        "neg_class_imbalance": (0.988, None),
        "size": (0.964, None),
        "accuracy": (0.835, None),
    },
}

# correlations of β with |G_i| and with the negated MMD_u²: mean and standard error over the parties
BETA: dict[Setting, dict[str, Number]] = {
    ("credit_ratings", "equal_disjoint"): {"size": (-0.851, 0.023), "neg_mmd2_unbiased": (0.737, 0.079)},
    ("credit_ratings", "unequal"): {"size": (-0.835, 0.006), "neg_mmd2_unbiased": (0.928, 0.027)},
    ("mnist", "equal_disjoint"): {"size": (-0.869, 0.005), "neg_mmd2_unbiased": (0.679, 0.100)},
    ("mnist", "unequal"): {"size": (-0.837, 0.016), "neg_mmd2_unbiased": (0.868, 0.018)},
    ("cifar10", "equal_disjoint"): {"size": (-0.906, 0.008), "neg_mmd2_unbiased": (0.084, 0.287)},
    ("cifar10", "unequal"): {"size": (-0.945, 0.008), "neg_mmd2_unbiased": (0.622, 0.172)},
}

INCREASING = 0.76  # approximate share of the accepted points that raise v: the paper, Sec. 5

CONTRIBUTIONS: dict[Setting, tuple[float, ...]] = {  # α
    ("credit_ratings", "equal_disjoint"): (0.41661842, 0.71042182, 1.0, 0.32040511, 0.88063143),
    ("mnist", "equal_disjoint"): (0.530, 0.569, 0.946, 0.853, 1.0),
    ("mnist", "unequal"): (1.0, 0.998, 0.256, 0.517, 0.368),
}
LENGTHSCALES: dict[Setting, float] = {
    ("credit_ratings", "equal_disjoint"): 0.2646284961700439,
    ("mnist", "equal_disjoint"): 3.358,
    ("mnist", "unequal"): 1.527,
    ("cifar10", "equal_disjoint"): 2.884,
    ("cifar10", "unequal"): 1.237,
}

# of the parties' own points and T: MMD_u², and the squared Wasserstein-2 distance
MMD2_BEFORE: dict[Setting, tuple[float, ...]] = {
    ("mnist", "equal_disjoint"): (0.277, 0.247, 0.139, 0.174, 0.128),
    ("mnist", "unequal"): (0.0004, 0.0004, 0.076, 0.045, 0.063),
    ("cifar10", "equal_disjoint"): (0.379, 0.139, 0.267, 0.180, 0.503),
    ("cifar10", "unequal"): (0.062, 0.063, 0.127, 0.129, 0.135),
}
WASSERSTEIN2_BEFORE: dict[Setting, tuple[float, ...]] = {
    ("mnist", "equal_disjoint"): (17.9, 13.2, 10.0, 9.5, 9.4),
    ("mnist", "unequal"): (0.03, 0.06, 9.2, 4.0, 4.5),
    ("cifar10", "equal_disjoint"): (12.6, 4.0, 7.4, 6.5, 15.2),
    ("cifar10", "unequal"): (1.1, 1.1, 3.3, 5.6, 3.6),
}

OF_REWARDS: Setting = ("credit_ratings", "equal_disjoint")  # the setting of these
V_STAR, RHO = 0.535833, 0.0943
REWARDS = (0.4934, 0.5188, 0.5358, 0.4813, 0.5295)  # r

# |G_i| of parties 1 to 5 for each β, one run
REWARD_SIZES: dict[Setting, dict[int, tuple[int, ...]]] = {
    ("credit_ratings", "equal_disjoint"): {
        1: (1510, 1854, 6123, 1437, 2071),
        2: (1239, 1451, 4412, 1253, 1560),
        4: (1080, 1189, 3139, 1083, 1189),
        8: (1010, 1062, 3314, 1014, 1019),
    },
    ("mnist", "unequal"): {1: (4624, 3723, 13_384, 13_852, 12_985)},
}

LARGE = 0.1  # differences of correlations above it get a remark

# R6 with the paper's bounds v_c(C_i), where v is not monotone and they miss it: slack of R6, ρ, and rewards
WITH_PAPER_BOUNDS: dict[str, tuple[float, float, tuple[float, ...]]] = {
    "bandwidth-cv/credit_card-equal_disjoint-seed1": (
        -2.4e-04,
        0.9414,
        (0.001834, 0.009103, 0.009833, 0.01193, 0.01093),
    ),
    "bandwidth-scott/credit_card-equal_disjoint-seed0": (
        -1.9e-05,
        0.7714,
        (0.002506, 0.009645, 0.007996, 0.01266, 0.01959),
    ),
    "bandwidth-scott/credit_card-equal_disjoint-seed1": (
        -9.6e-04,
        0.8136,
        (0.0008673, 0.01012, 0.01006, 0.01556, 0.02038),
    ),
    "bandwidth-scott/credit_card-equal_disjoint-seed2": (
        -2.0e-04,
        0.8133,
        (0.001239, 0.007869, 0.009262, 0.01173, 0.01813),
    ),
}

# reasons for the paper's choices, where it makes them, and otherwise for cgm's defaults
DEFAULTS = {
    "features": "for MNIST, UMAP of the pixels, fitted to parties and pool together, is most likely what the paper "
    "used: with it, α and length-scales come out near the published ones (above), which an autoencoder's code does not "
    "give. For CIFAR-10, UMAP of pixels gives length-scales and MMDs "
    "far below the published ones, and UMAP of the features of a network that was trained on ImageNet their order "
    "(above); which network the paper used is unknown. The labels of ImageNet are none of CIFAR-10, but of similar "
    "things: `experiment=paper_cifar10_encoder` needs no labels at all",
    "bandwidth": "of the rules that were measured, the one with the largest likelihood of held-out rows (above)",
    "pool": "a mediator that had real images of nobody would not need a generator; the row shows what is due to it",
    "scheme": "the stable bounds are those of the paper's Proposition 3c, made to hold for any v: with them, no "
    "coalition gains by leaving; `fair` and `gain` are compared with them above",
    "labeller": "a classifier of images makes fewer mistakes than a vote of neighbours in reduced features; where "
    "there is no classifier (points that are not images), neighbours vote",
    "test": "the paper says unseen real data, and points that no party has are the same test for all parties; if a "
    "party is tested on the other parties' points, its own classes are almost absent from its test",
}
