"""What both sides need to run Flower's processes: one bundle, one environment, one supervisor."""
