"""Networks of torch: architectures, training, fitted networks, and weights that come with cgm."""
