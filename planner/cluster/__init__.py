"""What the planner knows of a Kubernetes cluster, whoever asks: observing and acting share it."""
