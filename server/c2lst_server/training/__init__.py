"""From a folder of images to a finished run: corpus, pretraining, evaluation."""
