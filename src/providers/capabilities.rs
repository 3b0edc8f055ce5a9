//! What a model takes, from its provider and name: sampling, length, roles, tools, images, effort.
