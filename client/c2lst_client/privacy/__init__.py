"""How much adapter and synthetic pairs give away of the training spots, measured by attacks; and the rule of export."""
