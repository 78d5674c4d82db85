"""What is fitted or trained: state in files, networks, training, weights that come with cgm."""
