//! Request → transaction: validates against the tree plus everything prepared and not yet applied.
