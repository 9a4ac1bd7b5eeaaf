//! Reads typed settings from the tree: errors know their path, and text from a variable becomes what the setting
//! asks for.

use std::collections::BTreeMap;

use serde::{
    Deserializer,
    de::{
        DeserializeSeed, EnumAccess, Error as _, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
        value::StrDeserializer,
    },
};

use super::{
    problem::ReadError,
    tree::{Node, Value},
};

/// Text from a variable that the setting wants as a boolean or a number.
macro_rules! scalars {
    ($($method:ident $visit:ident $as:ty,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            match &self.value {
                Value::Variable(text) => match text.trim().parse::<$as>() {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => Err(ReadError::invalid_type(Unexpected::Str(text), &visitor)),
                },
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}

/// Text from a variable that the setting wants as a list or a table: TOML.
macro_rules! collections {
    ($($method:ident ( $($name:ident : $type:ty),* ),)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> Result<V::Value, ReadError> {
            $(let _ = $name;)*
            match &self.value {
                Value::Variable(text) => {
                    let table = format!("it = {text}").parse::<toml::Table>().ok();
                    let Some(value) = table.and_then(|mut table| table.remove("it")) else {
                        return Err(ReadError::invalid_type(Unexpected::Str(text), &visitor));
                    };
                    Node::from_toml(value, &self.origin).deserialize_any(visitor)
                }
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for &Node {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Table(table) => visitor.visit_map(Entries::new(table)),
            Value::Array(array) => visitor.visit_seq(Items(array.iter())),
            Value::Variable(text) | Value::Scalar(toml::Value::String(text)) => visitor.visit_str(text),
            Value::Scalar(toml::Value::Integer(number)) => visitor.visit_i64(*number),
            Value::Scalar(toml::Value::Float(number)) => visitor.visit_f64(*number),
            Value::Scalar(toml::Value::Boolean(truth)) => visitor.visit_bool(*truth),
            Value::Scalar(other) => visitor.visit_string(other.to_string()),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Table(table) if table.len() == 1 => visitor.visit_enum(Entries::new(table)),
            Value::Variable(text) | Value::Scalar(toml::Value::String(text)) => {
                visitor.visit_enum(StrDeserializer::<ReadError>::new(text))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    scalars! {
        deserialize_bool visit_bool bool,
        deserialize_i8 visit_i64 i64, deserialize_i16 visit_i64 i64,
        deserialize_i32 visit_i64 i64, deserialize_i64 visit_i64 i64,
        deserialize_u8 visit_u64 u64, deserialize_u16 visit_u64 u64,
        deserialize_u32 visit_u64 u64, deserialize_u64 visit_u64 u64,
        deserialize_f32 visit_f64 f64, deserialize_f64 visit_f64 f64,
    }

    collections! {
        deserialize_seq(),
        deserialize_tuple(len: usize),
        deserialize_tuple_struct(name: &'static str, len: usize),
        deserialize_map(),
        deserialize_struct(name: &'static str, fields: &'static [&'static str]),
    }

    serde::forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct identifier ignored_any
    }
}

/// The entries of a table.
struct Entries<'a> {
    rest: std::collections::btree_map::Iter<'a, String, Node>,
    current: Option<(&'a str, &'a Node)>,
}

impl<'a> Entries<'a> {
    fn new(table: &'a BTreeMap<String, Node>) -> Self {
        Self { rest: table.iter(), current: None }
    }

    fn value<'de, S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, ReadError> {
        let (key, node) = self.current.take().ok_or_else(|| ReadError::custom("expected a value"))?;
        seed.deserialize(node).map_err(|error| error.below(key))
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        self.current = self.rest.next().map(|(key, node)| (key.as_str(), node));
        self.current.map(|(key, _)| seed.deserialize(StrDeserializer::new(key))).transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, ReadError> {
        self.value(seed)
    }
}

impl<'de> EnumAccess<'de> for Entries<'_> {
    type Error = ReadError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(mut self, seed: S) -> Result<(S::Value, Self), ReadError> {
        let variant = self.next_key_seed(seed)?.ok_or_else(|| ReadError::custom("expected a variant"))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Entries<'_> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        Err(ReadError::custom("this one has no settings of its own: write its name alone"))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(mut self, seed: S) -> Result<S::Value, ReadError> {
        self.value(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ReadError> {
        Err(ReadError::invalid_type(Unexpected::Map, &visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        mut self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let (key, node) = self.current.take().ok_or_else(|| ReadError::custom("expected a value"))?;
        node.deserialize_any(visitor).map_err(|error| error.below(key))
    }
}

/// The items of an array.
struct Items<'a>(std::collections::btree_map::Iter<'a, usize, Node>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = ReadError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, ReadError> {
        self.0
            .next()
            .map(|(index, node)| seed.deserialize(node).map_err(|error| error.below(format!("[{index}]"))))
            .transpose()
    }
}
