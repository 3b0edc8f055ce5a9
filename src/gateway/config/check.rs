//! A tree held against its description: all mistakes, each at its place.

use regex::Regex;

use super::mistake::Mistakes;
use super::shape::{ADDRESS, Fields, Shape};
use crate::data::yaml::node::{At, Data};

/// Finds what does not fit at a place and below it.
pub fn check(at: &At<'_>, shape: &Shape, mistakes: &mut Mistakes) {
    match shape {
        Shape::List(item, _, some) => match &at.node.data {
            Data::List(items) if !(items.is_empty() && *some) => {
                for each in at.each() {
                    check(&each, item, mistakes);
                }
            }
            _ => mistakes.expected(at, &shape.words(), false),
        },
        Shape::Names(value, _, least) => match at.members("") {
            Ok(members) if entries(at) >= *least => {
                for (name, member) in members {
                    if name.trim().is_empty() {
                        mistakes.wrong(&member, "the name before the colon is empty");
                    }
                    check(&member, value, mistakes);
                }
            }
            _ => mistakes.expected(at, &shape.words(), matches!(value, Shape::Secret)),
        },
        Shape::Fields(fields) => members(at, fields, mistakes),
        Shape::Either(shapes, words) => match shapes.iter().find(|shape| of_kind(at, shape)) {
            Some(shape) => check(at, shape, mistakes),
            None => mistakes.expected(at, words, false),
        },
        Shape::OrNothing(shape) => {
            if at.node.data != Data::Null {
                check(at, shape, mistakes);
            }
        }
        _ if fits(at, shape) => {}
        _ => mistakes.expected(at, &shape.words(), matches!(shape, Shape::Secret)),
    }
}

/// The keys of a mapping.
fn members(at: &At<'_>, fields: &Fields, mistakes: &mut Mistakes) {
    let Ok(members) = at.members("") else { return mistakes.expected(at, fields.what, false) };
    let known: Vec<&str> = fields.fields.iter().map(|field| field.name).collect();
    let mut there = Vec::new();
    for (name, member) in members {
        match fields.fields.iter().find(|field| field.name == name) {
            Some(field) => {
                there.push(name);
                check(&member, &field.shape, mistakes);
            }
            None if fields.open => {}
            None => mistakes.unknown(&member, at, &known),
        }
    }
    for field in fields.fields.iter().filter(|field| field.needed && !there.contains(&field.name)) {
        mistakes.wrong(at, format!("expected `{}`, found none: {}", field.name, field.doc));
    }
}

fn entries(at: &At<'_>) -> usize {
    match &at.node.data {
        Data::Map(entries) => entries.len(),
        _ => 0,
    }
}

/// Whether a node is of the kind that a shape has, so that this one is meant.
fn of_kind(at: &At<'_>, shape: &Shape) -> bool {
    match shape {
        Shape::List(..) => matches!(at.node.data, Data::List(_)),
        Shape::Names(..) | Shape::Fields(_) => matches!(at.node.data, Data::Map(_)),
        _ => fits(at, shape),
    }
}

/// Whether a node without parts is what the shape says.
fn fits(at: &At<'_>, shape: &Shape) -> bool {
    let text = match &at.node.data {
        Data::Text(text) => Some(text.as_str()),
        _ => None,
    };
    let number = at.number();
    let within = |least: f64, most: f64| number.is_some_and(|number| (least..=most).contains(&number));
    match shape {
        Shape::Any => true,
        Shape::Text | Shape::Secret => text.is_some_and(|text| !text.trim().is_empty()),
        Shape::Flag => matches!(at.node.data, Data::Bool(_)),
        Shape::Switch => matches!(at.node.data, Data::Bool(_)) || matches!(text, Some("on" | "off")),
        Shape::Whole(least, most) => {
            number.is_some_and(|number| number.fract() == 0.0) && within(*least as f64, *most as f64)
        }
        Shape::Number(least, most) => within(*least, *most),
        Shape::Seconds => at.node.data == Data::Null || number.is_some_and(|number| number > 0.0 && number <= f64::MAX),
        Shape::OneOf(words) => text.is_some_and(|text| words.contains(&text)),
        Shape::Form(form, _) => text.is_some_and(|text| matches(form, text)),
        Shape::Address => text.is_some_and(|text| matches(ADDRESS, text)),
        Shape::Share(form, _) => within(0.0, 1.0) || text.is_some_and(|text| matches(form, text)),
        Shape::List(..) | Shape::Names(..) | Shape::Fields(_) | Shape::Either(..) | Shape::OrNothing(_) => false,
    }
}

fn matches(form: &str, text: &str) -> bool {
    Regex::new(form).is_ok_and(|form| form.is_match(text))
}
