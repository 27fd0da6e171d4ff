"""The drawn images of the task `mini-images` and their captions in 11 languages."""
