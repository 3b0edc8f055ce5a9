//! The embedded router.
