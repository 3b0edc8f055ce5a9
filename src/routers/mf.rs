//! Matrix factorisation: a pair of models collapses to one vector.
