//! One statement with its values: it commits by itself.

use sqlx::{
    Arguments as _, Connection as _, Encode, FromRow, PgConnection, Postgres, Type,
    error::BoxDynError,
    postgres::{PgArguments, PgRow},
};

use super::failure::{Failure, Fate};

/// What rows are read into.
pub(super) trait Answer: for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static {}

impl<T: for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static> Answer for T {}

/// A statement that may be run again, where nothing of it happened.
#[derive(Debug)]
pub(super) struct Statement {
    sql: &'static str,
    values: Result<PgArguments, BoxDynError>,
}

impl Statement {
    pub(super) fn new(sql: &'static str) -> Self {
        Self { sql, values: Ok(PgArguments::default()) }
    }

    pub(super) fn bind<'v, T: Encode<'v, Postgres> + Type<Postgres> + 'v>(mut self, value: T) -> Self {
        self.values = self.values.and_then(|mut values| {
            values.add(value)?;
            Ok(values)
        });
        self
    }

    pub(super) async fn run<T: Answer>(
        &self,
        connection: &mut PgConnection,
        prepared: bool,
    ) -> Result<Vec<T>, Failure> {
        let values = match &self.values {
            Ok(values) => values.clone(),
            Err(error) => {
                let error = sqlx::Error::Encode(error.to_string().into());
                return Err(Failure { error, fate: Fate::Nothing });
            }
        };
        let query = sqlx::query_as_with::<_, T, _>(self.sql, values).persistent(prepared);
        if prepared {
            return query.fetch_all(connection).await.map_err(Failure::of_statement);
        }
        // sqlx parses and executes in two exchanges. A pooler that assigns servers by transaction keeps them on one
        // server only within an explicit transaction.
        let mut transaction = connection.begin().await.map_err(Failure::before_commit)?;
        let rows = query.fetch_all(&mut *transaction).await.map_err(Failure::before_commit)?;
        transaction.commit().await.map_err(Failure::of_commit)?;
        Ok(rows)
    }
}
