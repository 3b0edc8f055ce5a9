//! The description as a JSON schema (draft 2020-12), for editors and for whoever writes configurations by program.

use serde_json::{Map, Value as Json, json};

use super::described::TOP;
use super::shape::{ADDRESS, Fields, Shape};

/// The published schema.
pub fn schema() -> Json {
    let mut schema = fields(&TOP);
    let mut whole = Map::new();
    whole.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    whole.insert("title".to_owned(), "Configuration of `ferroute serve`".into());
    if let Json::Object(rest) = &mut schema {
        whole.append(rest);
    }
    Json::Object(whole)
}

fn fields(fields: &Fields) -> Json {
    let described = |shape: &Shape, doc: &str| {
        let mut schema = of(shape);
        if let Json::Object(members) = &mut schema {
            members.insert("description".to_owned(), doc.into());
        }
        schema
    };
    let properties: Map<String, Json> =
        fields.fields.iter().map(|field| (field.name.to_owned(), described(&field.shape, field.doc))).collect();
    let needed: Vec<&str> = fields.fields.iter().filter(|field| field.needed).map(|field| field.name).collect();
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": fields.open});
    if !needed.is_empty() {
        schema["required"] = json!(needed);
    }
    schema
}

fn of(shape: &Shape) -> Json {
    // What consists of blanks is no text.
    const SOMETHING: &str = r"\S";
    match shape {
        Shape::Any => json!({}),
        Shape::Text | Shape::Secret => json!({"type": "string", "pattern": SOMETHING}),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Switch => json!({"enum": ["on", "off", true, false]}),
        Shape::Whole(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Shape::Number(least, most) => json!({"type": "number", "minimum": least, "maximum": most}),
        Shape::Seconds => json!({"type": ["number", "null"], "exclusiveMinimum": 0}),
        Shape::OneOf(words) => json!({"enum": words}),
        Shape::Form(form, _) => json!({"type": "string", "pattern": form}),
        Shape::Address => json!({"type": "string", "pattern": ADDRESS}),
        Shape::Share(form, _) => {
            json!({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": form}]})
        }
        Shape::List(item, _, some) => {
            let mut schema = json!({"type": "array", "items": of(item)});
            if *some {
                schema["minItems"] = json!(1);
            }
            schema
        }
        Shape::Names(value, _, least) => {
            let mut schema = json!({
                "type": "object", "additionalProperties": of(value), "propertyNames": {"pattern": SOMETHING},
            });
            if *least > 0 {
                schema["minProperties"] = json!(least);
            }
            schema
        }
        Shape::Fields(known) => fields(known),
        Shape::Either(shapes, _) => json!({"anyOf": shapes.iter().map(of).collect::<Vec<_>>()}),
        Shape::OrNothing(shape) => json!({"anyOf": [of(shape), {"type": "null"}]}),
    }
}
