//! `_core.PriceTable`: prices and bills, as decimals.

use pyo3::prelude::*;
use pyo3::types::PyString;
use rust_decimal::Decimal;

use crate::error::Error;
use crate::pricing::scenario::{self, Part};
use crate::pricing::table::{Price, Table};

/// A `decimal.Decimal`, an int or a float on the way in (by its text, so 0.1 is a tenth), a `decimal.Decimal` out.
struct Amount(Decimal);

impl<'a, 'py> FromPyObject<'a, 'py> for Amount {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let text = value.str()?;
        let text = text.to_str()?;
        let amount = Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text));
        amount.map(Self).map_err(|_| Error::value(format!("expected a decimal number, found `{text}`")).into())
    }
}

impl<'py> IntoPyObject<'py> for Amount {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let text = PyString::new(py, &self.0.to_string());
        py.import("decimal")?.getattr("Decimal")?.call1((text,))
    }
}

/// Input, output, date, source.
type PriceTuple = (Amount, Amount, String, String);

fn price_tuple(price: &Price) -> PriceTuple {
    (Amount(price.input), Amount(price.output), price.date.clone(), price.source.clone())
}

#[pyclass(name = "PriceTable", module = "ferroute._core", frozen)]
struct PyPriceTable(Table);

#[pymethods]
impl PyPriceTable {
    #[new]
    #[pyo3(signature = (json=None))]
    fn new(json: Option<&str>) -> PyResult<Self> {
        Ok(Self(json.map_or_else(Table::builtin, Table::from_json)?))
    }

    #[pyo3(signature = (model, at=None))]
    fn price(&self, model: &str, at: Option<&str>) -> PyResult<Option<PriceTuple>> {
        Ok(self.0.price(model, at)?.map(price_tuple))
    }

    #[pyo3(signature = (requests, mix, at=None))]
    #[expect(clippy::type_complexity, reason = "plain tuples, named by the dataclasses of `ferroute.pricing`")]
    fn bill(
        &self,
        requests: u64,
        mix: Vec<(String, Amount, Amount, Amount)>,
        at: Option<&str>,
    ) -> PyResult<(Amount, Vec<(String, Amount, Amount, PriceTuple)>)> {
        let part = |(model, share, prompt, completion): (String, Amount, Amount, Amount)| Part {
            model,
            share: share.0,
            prompt_tokens: prompt.0,
            completion_tokens: completion.0,
        };
        let mix: Vec<_> = mix.into_iter().map(part).collect();
        let bill = scenario::bill(&self.0, requests, &mix, at)?;
        let line =
            |line: scenario::Line| (line.model, Amount(line.requests), Amount(line.cost), price_tuple(&line.price));
        Ok((Amount(bill.total), bill.lines.into_iter().map(line).collect()))
    }
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyPriceTable>()
}
