"""Programs that use cgm, each with its settings in a YAML file beside it.

| command | purpose |
|---|---|
| `python -m experiments.paper` | reproduce the experiments of the paper |
| `python -m experiments.robustness` | measure what dishonest parties gain, and which choices prevent it |
| `python -m experiments.benchmark` | measure time and memory |
| `python -m experiments.generators` | evaluate a generator of images |
| `python -m experiments.generators.train` | train a generator, an autoencoder or a classifier of images |

They run from the root of a checkout.
"""
