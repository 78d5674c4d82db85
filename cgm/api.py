r"""The stable names of cgm in one place, in the order of the paper.

From data to rewards:

- `Mediator`: settles what the parties receive, from their points alone (Sections 2 to 4.2).
- `Settlement`: the result of a mediator: pool, game, contributions, rewards, incentives, chains.
- `Experiment`: a mediator with a dataset, a split and an attack before it and an evaluation after it (Sec. 6).
- `settle`: settles what parties with tables or images receive, in the same form.
- `TableMediator`: a mediator for tables, with a schema before it and an audit after it.
- `ImageMediator`: a mediator for images.
- `PartySettlement`: what it and `TableMediator` return: a `Settlement` with names, tables or images, audits.
- `Record`: the files of a run: result, metrics, rewards.
- `Result`: the content of `result.json`, as attributes.

Datasets and splits, for experiments:

- `DatasetLoader`: interface of datasets: `load(data_dir, seed)`.
- `Dataset`: labelled real points, a part of them held out.
- `CreditRatings`: simulated credit ratings, five Gaussians in two dimensions.
- `CreditCard`: credit card transactions.
- `Digits`: scikit-learn's images of digits, 8 x 8.
- `MNIST`: images of digits, 28 x 28.
- `CIFAR10`: photographs of ten classes, 3 x 32 x 32.
- `ImageArrays`: labelled images from a file of arrays.
- `Split`: base class of splits of a dataset's rows among parties.
- `EqualDisjoint`: a large majority of each party's points is in classes of its own.
- `Unequal`: some parties have all classes, the others only a part of them.
- `Dirichlet`: shares of classes drawn from a Dirichlet distribution.
- `Shares`: given shares of classes.

Attacks, for experiments:

- `Attack`: base class of attacks: what the parties hand in while one of them attacks.
- `Attacked`: the data that the parties hand in, and which of them are the attacker.
- `PartyAttack`: base class of attacks by one party.
- `NoAttack`: all parties hand in their data.
- `Duplicate`: a party hands in copies of its rows.
- `SplitParty`: a party appears as several.
- `Clone`: a party hands in another party's data.
- `Noise`: a party replaces a share of its rows by noise.
- `FreeRide`: a party hands in a few rows, or copies of public ones.
- `Poison`: a party moves a share of its rows to a false cluster.

Features, the dimensions in which data is valued:

- `Features`: base class of features: `fit`, `transform`, `save`, `load`.
- `Automatic`: an autoencoder for images, points as they are.
- `Identity`: points as they are.
- `PCA`: principal components.
- `ARD`: points with a scale of their own for each column.
- `UMAP`: uniform manifold approximation and projection.
- `Autoencoder`: the code of a convolutional autoencoder.
- `Deep`: a network that learns to tell points from points with mixed columns.

Generators of the synthetic pool $G$:

- `Generator`: base class of generators: `fit`, `sample`, `save`, `load`.
- `check_generator`: checks that a generator fulfils the contract of the base class.
- `KDE`: Gaussian kernel density estimation.
- `GaussianMixture`: a mixture of Gaussians.
- `Copula`: a Gaussian copula with empirical margins, for tables with columns of all kinds.
- `Flow`: a normalising flow, trained by maximum likelihood.
- `TrueMixture`: the distribution of the simulated credit ratings themselves.
- `MMDGAN`: a generative adversarial network with the MMD as its loss.

Valuation (Sec. 3 and 5):

- `Kernel`: base class of kernels.
- `SquaredExponential`: $\exp(-|x - x'|^2 / 2 \ell^2)$.
- `RationalQuadratic`: $(1 + |x - x'|^2 / 2 \alpha \ell^2)^{-\alpha}$.
- `Laplacian`: $\exp(-|x - x'| / \ell)$.
- `Sum`: a sum of kernels.
- `LengthscaleSearch`: the range in which a length-scale is searched.
- `fit_lengthscale`: the smallest length-scale for which all parties' values are nonnegative.
- `fit_monotone`: a length-scale for which values are nonnegative and monotone over all coalitions.
- `resolve_lengthscale`: a kernel whose length-scale, if it is a rule, is replaced by a number.
- `negative_increments`: the share of coalitions that lose value when a party joins.
- `Increments`: this share, and the smallest change of value.
- `block_sums`: sums of the kernel between each point and each block of points.
- `mmd2_biased`: the biased estimate of the squared MMD.
- `mmd2_unbiased`: the unbiased estimate of the squared MMD.
- `Reference`: base class of references, the data that values compare with.
- `AllReference`: all data, as in the paper.
- `PoolReference`: the synthetic pool alone.
- `RealReference`: the parties' data alone.
- `LeaveOneOutReference`: for a party's contribution, all data except its own.
- `Game`: protocol of cooperative games: the values of coalitions.
- `TableGame`: the game of an array of $2^n$ values.
- `Valuation`: the game of the negative squared MMD.

Contributions (Sec. 4):

- `Contribution`: base class of contributions: `compute(game, seed)`.
- `Contributions`: $\phi$, $\alpha$ and their standard errors.
- `Shapley`: Shapley values, exact or sampled.
- `Banzhaf`: Banzhaf values, exact or sampled.
- `BetaShapley`: beta Shapley values, which favour small or large coalitions.
- `LeaveOneOut`: what is lost without a party.
- `LeastCore`: the point of the least core that is nearest to equal shares.
- `Pointwise`: sums of the Shapley values of single points.
- `EqualShares`: equal shares of the value of all data.
- `pointwise_values`: the Shapley values of single points.
- `shapley_exact`: the Shapley values of an array of $2^n$ values.
- `shapley_values`: the Shapley values of a game.
- `standard_errors`: the standard errors of values and contributions over rows.
- `Uncertainty`: these errors, and which parties cannot be told apart.

Rewards (Sec. 4.1 and 4.2):

- `Scheme`: base class of reward schemes: `solve(contributions, game, upper)`.
- `Rewards`: the reward values of a scheme, and their bounds.
- `ShapleyFair`: the paper's linear program, with or without stability.
- `Gain`: shares of what each party can gain, with or without stability.
- `Proportional`: rewards proportional to the contributions.
- `EqualRewards`: the same reward for all parties.
- `MaxWelfare`: the largest possible reward for each party.
- `Spread`: the largest $\rho$ that misses stability by a stated slack at most.
- `frontier`: the frontier between stability and proportionality, by slack.
- `FrontierPoint`: a point on it.
- `FairRewards`: the rewards of the linear program, with $\rho$ and $v^*$.
- `solve_scheme`: solves the linear program for given contributions and bounds.
- `InfeasibleScheme`: raised when no rewards satisfy their bounds.
- `check_incentives`: checks the incentives R1 to R6 by their definitions.
- `Incentive`: whether an incentive holds, and its slack.
- `compare_lengthscales`: how contributions and rewards differ between parties, for several length-scales.
- `LengthscaleSpread`: these differences for one length-scale.
- `WeightedSampling`: parameters of weighted sampling.
- `sample_rewards`: draws rewards by weighted sampling.
- `Reward`: a reward: the points drawn for a party and a $\beta$.

Records of settlements of tables:

- `Variant`: what the parties of a settlement have with another setting.
- `write_settlement`: writes the report, the parties' rewards and certificates, and what stays with the mediator.
- `check_folder`: checks that a settlement can be written to a folder, before it is computed.
- `report`: the report for the mediator, an HTML page.
- `certificate`: the certificate of a party.
- `sign`: signs the certificate in a party's folder.
- `verify`: verifies the files that a party received.
- `Verification`: what a party could verify.

Evaluation, for experiments (Sec. 6):

- `Labeller`: base class of labellers of synthetic points.
- `AutoLabeller`: a classifier of images if cgm has one, the nearest real points otherwise.
- `KNN`: a vote of the nearest real points.
- `CNN`: the classifier of images that is part of cgm.
- `NoLabeller`: no labels.
- `Task`: base class of downstream tasks.
- `SVM`: the accuracy of a support vector machine.
- `NoTask`: no downstream task.
- `Audit`: base class of privacy audits of rewards.
- `Membership`: membership inference against rewards.
- `NoAudit`: no privacy audit.
"""

from cgm.contributions import (
    Banzhaf,
    BetaShapley,
    Contribution,
    Contributions,
    EqualShares,
    LeastCore,
    LeaveOneOut,
    Pointwise,
    Shapley,
    Uncertainty,
    pointwise_values,
    shapley_exact,
    shapley_values,
    standard_errors,
)
from cgm.data.attacks import (
    Attack,
    Attacked,
    Clone,
    Duplicate,
    FreeRide,
    NoAttack,
    Noise,
    PartyAttack,
    Poison,
    SplitParty,
)
from cgm.data.datasets import CIFAR10, MNIST, CreditCard, CreditRatings, Dataset, DatasetLoader, Digits, ImageArrays
from cgm.data.features import ARD, PCA, UMAP, Autoencoder, Automatic, Deep, Features, Identity
from cgm.data.splits import Dirichlet, EqualDisjoint, Shares, Split, Unequal
from cgm.evaluation.labellers import CNN, KNN, AutoLabeller, Labeller, NoLabeller
from cgm.evaluation.privacy import Audit, Membership, NoAudit
from cgm.evaluation.tasks import SVM, NoTask, Task
from cgm.experiment import Experiment
from cgm.generators import KDE, MMDGAN, Copula, Flow, GaussianMixture, Generator, TrueMixture, check_generator
from cgm.mediator import Mediator, Settlement
from cgm.records.record import Record
from cgm.records.result import Result
from cgm.rewards import (
    EqualRewards,
    FairRewards,
    FrontierPoint,
    Gain,
    Incentive,
    InfeasibleScheme,
    LengthscaleSpread,
    MaxWelfare,
    Proportional,
    Reward,
    Rewards,
    Scheme,
    ShapleyFair,
    Spread,
    WeightedSampling,
    check_incentives,
    compare_lengthscales,
    frontier,
    sample_rewards,
    solve_scheme,
)
from cgm.settlements.folder import certificate, check_folder, write_settlement
from cgm.settlements.images import ImageMediator
from cgm.settlements.report import report
from cgm.settlements.settlement import PartySettlement, Variant
from cgm.settlements.tables import TableMediator, settle
from cgm.settlements.verification import Verification, sign, verify
from cgm.valuation import (
    Game,
    Increments,
    LengthscaleSearch,
    TableGame,
    Valuation,
    fit_lengthscale,
    fit_monotone,
    negative_increments,
    resolve_lengthscale,
)
from cgm.valuation.kernels import Kernel, Laplacian, RationalQuadratic, SquaredExponential, Sum
from cgm.valuation.mmd import block_sums, mmd2_biased, mmd2_unbiased
from cgm.valuation.references import (
    AllReference,
    LeaveOneOutReference,
    PoolReference,
    RealReference,
    Reference,
)

__all__ = [
    "ARD",
    "CIFAR10",
    "CNN",
    "KDE",
    "KNN",
    "MMDGAN",
    "MNIST",
    "PCA",
    "SVM",
    "UMAP",
    "AllReference",
    "Attack",
    "Attacked",
    "Audit",
    "AutoLabeller",
    "Autoencoder",
    "Automatic",
    "Banzhaf",
    "BetaShapley",
    "Clone",
    "Contribution",
    "Contributions",
    "Copula",
    "CreditCard",
    "CreditRatings",
    "Dataset",
    "DatasetLoader",
    "Deep",
    "Digits",
    "Dirichlet",
    "Duplicate",
    "EqualDisjoint",
    "EqualRewards",
    "EqualShares",
    "Experiment",
    "FairRewards",
    "Features",
    "Flow",
    "FreeRide",
    "FrontierPoint",
    "Gain",
    "Game",
    "GaussianMixture",
    "Generator",
    "Identity",
    "ImageArrays",
    "ImageMediator",
    "Incentive",
    "Increments",
    "InfeasibleScheme",
    "Kernel",
    "Labeller",
    "Laplacian",
    "LeastCore",
    "LeaveOneOut",
    "LeaveOneOutReference",
    "LengthscaleSearch",
    "LengthscaleSpread",
    "MaxWelfare",
    "Mediator",
    "Membership",
    "NoAttack",
    "NoAudit",
    "NoLabeller",
    "NoTask",
    "Noise",
    "PartyAttack",
    "PartySettlement",
    "Pointwise",
    "Poison",
    "PoolReference",
    "Proportional",
    "RationalQuadratic",
    "RealReference",
    "Record",
    "Reference",
    "Result",
    "Reward",
    "Rewards",
    "Scheme",
    "Settlement",
    "Shapley",
    "ShapleyFair",
    "Shares",
    "Split",
    "SplitParty",
    "Spread",
    "SquaredExponential",
    "Sum",
    "TableGame",
    "TableMediator",
    "Task",
    "TrueMixture",
    "Uncertainty",
    "Unequal",
    "Valuation",
    "Variant",
    "Verification",
    "WeightedSampling",
    "block_sums",
    "certificate",
    "check_folder",
    "check_generator",
    "check_incentives",
    "compare_lengthscales",
    "fit_lengthscale",
    "fit_monotone",
    "frontier",
    "mmd2_biased",
    "mmd2_unbiased",
    "negative_increments",
    "pointwise_values",
    "report",
    "resolve_lengthscale",
    "sample_rewards",
    "settle",
    "shapley_exact",
    "shapley_values",
    "sign",
    "solve_scheme",
    "standard_errors",
    "verify",
    "write_settlement",
]
