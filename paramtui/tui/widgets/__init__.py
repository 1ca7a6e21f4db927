"""The parts of the screen: the tree, the values, and the lines around them."""
