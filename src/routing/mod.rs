//! From a win rate to a decision: the model string, the threshold, the share of traffic.
