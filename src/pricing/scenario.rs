//! The bill for a number of requests under a mix of models.
