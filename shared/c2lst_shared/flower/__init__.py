"""What both sides need to run Flower's processes: one FAB, one environment, one supervisor."""
