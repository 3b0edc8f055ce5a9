//! One request: call a model through a provider. Cost and settlement join here in a later version.
