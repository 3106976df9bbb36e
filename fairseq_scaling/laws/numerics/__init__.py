"""The numerical parts of the laws that a statistician would open last."""
