//! Calls over HTTP: one dialect a file.
