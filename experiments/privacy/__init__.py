"""What privacy costs: values, contributions, rewards and accuracy against ε."""
