//! The file of a replica: rows, their indexes and how far the topic is read, changed together. What
//! cannot be trusted is thrown away and made anew: everything in it can be read again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{
    Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition, TableError, WriteTransaction,
};

use super::file::{Unopened, database};
use super::index::{self, EntriesOf, INDEX};
use super::row::{Place, Row};

/// Of the tables below; another number is another file.
const FORMAT: &str = "2";
const FILE: &str = "replica.redb";

/// Row by key.
pub(super) const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
/// Key by place: what changed, in the order of the topic.
const FEED: TableDefinition<'_, (u32, u64), &[u8]> = TableDefinition::new("feed");
/// Why the latest record of a key cannot be read.
const STALE: TableDefinition<'_, &[u8], &str> = TableDefinition::new("stale");
/// The next offset of each partition.
const NEXT: TableDefinition<'_, u32, u64> = TableDefinition::new("next");
/// Schemas of writers, so that a restart needs no registry.
const SCHEMAS: TableDefinition<'_, u32, &str> = TableDefinition::new("schemas");
/// What the file is a copy of.
const ABOUT: TableDefinition<'_, &str, &str> = TableDefinition::new("about");

const COMPLETE: &str = "complete";
const ROWS_COUNTED: &str = "rows";

/// What the file must be a copy of, by name.
pub(super) type About = BTreeMap<&'static str, String>;

/// An open file.
pub(super) struct Store {
    database: Database,
    entries_of: EntriesOf,
    about: About,
    /// Whole, with an index.
    complete: AtomicBool,
}

/// What was found where the file should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A whole copy, as of its checkpoint.
    Copy,
    /// A copy that was not complete yet.
    Part,
    /// Nothing, or nothing that can be used: the reason, when there was something.
    Nothing(Option<String>),
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error(
        "{} is in use by another process; give each instance a folder of its own: replica.dir",
        .0.display()
    )]
    Taken(PathBuf),
    #[error("{}: {source}", .path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("the store failed: {0}")]
    Failed(#[from] redb::Error),
}

/// What records do to their key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// The bytes of its row.
    pub(super) row: Option<Vec<u8>>,
    /// Why the latest record cannot be read: what is known stays, and is stale.
    pub(super) stale: Option<String>,
}

/// Everything that one commit changes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) changes: BTreeMap<Vec<u8>, Change>,
    pub(super) next: BTreeMap<u32, u64>,
    pub(super) schemas: BTreeMap<u32, String>,
    /// It survives the end of the machine; else at least the end of the process, once a durable
    /// one follows.
    pub(super) durable: bool,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) row: Option<Vec<u8>>,
    pub(super) stale: Option<String>,
}

macro_rules! failing {
    ($($error:ident)*) => {
        $(impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                Self::Failed(error.into())
            }
        })*
    };
}

failing!(CommitError DatabaseError SetDurabilityError StorageError TableError TransactionError);

impl Store {
    /// Opens the file in a folder, or makes it anew when it is none of ours or not whole.
    pub(super) fn open(
        folder: &Path,
        cache_bytes: usize,
        about: About,
        entries_of: EntriesOf,
    ) -> Result<(Self, Found), StoreError> {
        let failed = |source| StoreError::Folder { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let path = folder.join(FILE);
        let was_there = fs::metadata(&path).is_ok_and(|file| file.len() > 0);
        let reason = match database(&path, cache_bytes) {
            Ok(database) => {
                let store = Self::of(database, entries_of, about.clone());
                match store.inspect() {
                    Ok(found) => {
                        store.complete.store(found == Found::Copy, Ordering::Relaxed);
                        return Ok((store, found));
                    }
                    Err(wrong) => wrong,
                }
            }
            Err(Unopened::Unusable(wrong)) => wrong,
            Err(other) => return Err(other.at(path)),
        };
        fs::remove_file(&path)
            .map_err(|source| StoreError::Folder { path: path.clone(), source })?;
        let database = database(&path, cache_bytes).map_err(|error| error.at(path))?;
        let store = Self::of(database, entries_of, about);
        store.wipe()?;
        Ok((store, Found::Nothing(was_there.then_some(reason))))
    }

    fn of(database: Database, entries_of: EntriesOf, about: About) -> Self {
        Self { database, entries_of, about, complete: AtomicBool::new(false) }
    }

    /// What it is, or why it cannot be used.
    fn inspect(&self) -> Result<Found, String> {
        let look = || -> Result<Result<Found, String>, StoreError> {
            let read = self.database.begin_read()?;
            let known = match read.open_table(ABOUT) {
                Ok(table) => table,
                Err(TableError::TableDoesNotExist(_)) => return Ok(Err("it is empty".to_owned())),
                Err(error) => return Err(error.into()),
            };
            for (name, wanted) in self.labels() {
                let found = known.get(name)?.map(|value| value.value().to_owned());
                if found.as_deref() != Some(wanted.as_str()) {
                    let found = found.unwrap_or_default();
                    return Ok(Err(format!("its {name} is {found:?}, not {wanted:?}")));
                }
            }
            let counted = known.get(ROWS_COUNTED)?.and_then(|rows| rows.value().parse().ok());
            if counted != Some(read.open_table(ROWS)?.len()?) {
                return Ok(Err("it does not have the rows it should have".to_owned()));
            }
            let complete = known.get(COMPLETE)?.is_some();
            Ok(Ok(if complete { Found::Copy } else { Found::Part }))
        };
        match std::panic::catch_unwind(AssertUnwindSafe(look)) {
            Ok(Ok(looked)) => looked,
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it is damaged".to_owned()),
        }
    }

    fn labels(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        let about = self.about.iter().map(|(name, value)| (*name, value.clone()));
        about.chain([("format", FORMAT.to_owned())])
    }

    /// Forgets everything, to read it again.
    pub(super) fn wipe(&self) -> Result<(), StoreError> {
        let write = self.write(true)?;
        write.delete_table(ROWS)?;
        write.delete_table(FEED)?;
        write.delete_table(INDEX)?;
        write.delete_table(STALE)?;
        write.delete_table(NEXT)?;
        write.delete_table(ABOUT)?;
        write.open_table(ROWS)?;
        write.open_table(FEED)?;
        write.open_table(INDEX)?;
        write.open_table(STALE)?;
        write.open_table(NEXT)?;
        write.open_table(SCHEMAS)?;
        {
            let mut about = write.open_table(ABOUT)?;
            for (name, value) in self.labels() {
                about.insert(name, value.as_str())?;
            }
            about.insert(ROWS_COUNTED, "0")?;
        }
        self.complete.store(false, Ordering::Relaxed);
        Ok(write.commit()?)
    }

    /// From now on it is a whole copy, with an index. `false` when it was interrupted before.
    pub(super) fn complete(&self, interrupted: impl Fn() -> bool) -> Result<bool, StoreError> {
        let write = self.write(true)?;
        if !index::make(&write, self.entries_of, interrupted)? {
            return Ok(false);
        }
        write.open_table(ABOUT)?.insert(COMPLETE, "yes")?;
        write.commit()?;
        self.complete.store(true, Ordering::Relaxed);
        Ok(true)
    }

    /// Writes a label that was not known when the file was opened, or says what it was.
    pub(super) fn label(
        &self,
        name: &'static str,
        value: &str,
    ) -> Result<Option<String>, StoreError> {
        let write = self.write(true)?;
        let before = {
            let mut about = write.open_table(ABOUT)?;
            let before = about.get(name)?.map(|before| before.value().to_owned());
            if before.is_none() {
                about.insert(name, value)?;
            }
            before
        };
        write.commit()?;
        Ok(before)
    }

    /// One transaction: rows, indexes and positions.
    pub(super) fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        let write = self.write(batch.durable)?;
        {
            let mut next = write.open_table(NEXT)?;
            for (partition, offset) in &batch.next {
                next.insert(partition, offset)?;
            }
            let mut schemas = write.open_table(SCHEMAS)?;
            for (id, schema) in &batch.schemas {
                schemas.insert(id, schema.as_str())?;
            }
            let counted = self.change(&write, &batch.changes)?;
            let mut about = write.open_table(ABOUT)?;
            about.insert(ROWS_COUNTED, counted.to_string().as_str())?;
        }
        Ok(write.commit()?)
    }

    /// Changes rows and what leads to them, and says how many rows there are. Keys and entries come
    /// sorted, so that neighbours are written together. A copy that is not whole has no index yet.
    fn change(
        &self,
        write: &WriteTransaction,
        changes: &BTreeMap<Vec<u8>, Change>,
    ) -> Result<u64, StoreError> {
        let (mut rows, mut feed) = (write.open_table(ROWS)?, write.open_table(FEED)?);
        let (mut index, mut stale) = (write.open_table(INDEX)?, write.open_table(STALE)?);
        let (mut gone, mut new) = (BTreeSet::new(), BTreeSet::new());
        let indexed = self.complete.load(Ordering::Relaxed);
        let entries = |row: &Row<'_>, key: &[u8]| match indexed && row.lives {
            true => (self.entries_of)(row.content, key).unwrap_or_default(),
            false => vec![],
        };
        for (key, change) in changes {
            if let Some(reason) = &change.stale {
                stale.insert(key.as_slice(), reason.as_str())?;
            }
            let Some(bytes) = &change.row else { continue };
            let Some(row) = Row::read(bytes) else { continue };
            if let Some(old) = rows.get(key.as_slice())?
                && let Some(old) = Row::read(old.value())
            {
                if old.version >= row.version {
                    continue;
                }
                feed.remove((old.place.partition, old.place.offset))?;
                gone.extend(entries(&old, key));
            }
            feed.insert((row.place.partition, row.place.offset), key.as_slice())?;
            rows.insert(key.as_slice(), bytes.as_slice())?;
            if change.stale.is_none() {
                stale.remove(key.as_slice())?;
            }
            new.extend(entries(&row, key));
        }
        for entry in gone.difference(&new) {
            index.remove(entry.as_slice())?;
        }
        for entry in new {
            index.insert(entry.as_slice(), ())?;
        }
        Ok(rows.len()?)
    }

    fn write(&self, durable: bool) -> Result<WriteTransaction, StoreError> {
        let mut write = self.database.begin_write()?;
        match durable {
            // A process that is killed must not pay for it with a walk through the whole file.
            true => write.set_quick_repair(true),
            false => write.set_durability(Durability::None)?,
        }
        Ok(write)
    }

    /// Everything as of now.
    pub(super) fn read(&self) -> Result<View, StoreError> {
        Ok(View(self.database.begin_read()?))
    }
}

/// Everything as of one moment.
pub(super) struct View(ReadTransaction);

impl View {
    /// What is known of a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Kept, StoreError> {
        let row = self.row(key, <[u8]>::to_vec)?;
        let stale = self.0.open_table(STALE)?.get(key)?.map(|reason| reason.value().to_owned());
        Ok(Kept { row, stale })
    }

    /// The row of a key, read in place.
    pub(super) fn row<T>(
        &self,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.0.open_table(ROWS)?.get(key)?.map(|row| read(row.value())))
    }

    /// The rows behind entries between two bounds, the last first, until `take` has enough of them.
    pub(super) fn scan(
        &self,
        from: &[u8],
        below: &[u8],
        key_at: usize,
        mut take: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let (index, rows) = (self.0.open_table(INDEX)?, self.0.open_table(ROWS)?);
        for entry in index.range(from..below)?.rev() {
            let (entry, ()) = entry.map(|(entry, unit)| (entry, unit.value()))?;
            let entry = entry.value();
            let Some(row) = rows.get(entry.get(key_at..).unwrap_or_default())? else { continue };
            if !take(entry, row.value()) {
                break;
            }
        }
        Ok(())
    }

    /// Rows that changed at or behind this place of its partition, in the order of the topic.
    pub(super) fn changed(&self, from: Place, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let (feed, rows) = (self.0.open_table(FEED)?, self.0.open_table(ROWS)?);
        let Place { partition, offset } = from;
        let mut changed = vec![];
        for entry in feed.range((partition, offset)..=(partition, u64::MAX))?.take(limit) {
            let (_, key) = entry?;
            changed.extend(rows.get(key.value())?.map(|row| row.value().to_vec()));
        }
        Ok(changed)
    }

    /// The next offset of each partition.
    pub(super) fn next(&self) -> Result<BTreeMap<u32, u64>, StoreError> {
        let next = self.0.open_table(NEXT)?;
        let pair = |pair: Result<(redb::AccessGuard<'_, u32>, redb::AccessGuard<'_, u64>), _>| {
            pair.map(|(partition, offset)| (partition.value(), offset.value()))
        };
        Ok(next.iter()?.map(pair).collect::<Result<_, redb::StorageError>>()?)
    }

    /// Keys whose latest record cannot be read.
    pub(super) fn stale_keys(&self) -> Result<u64, StoreError> {
        Ok(self.0.open_table(STALE)?.len()?)
    }

    /// The schema with this id, if a record was read with it before.
    pub(super) fn schema(&self, id: u32) -> Result<Option<String>, StoreError> {
        Ok(self.0.open_table(SCHEMAS)?.get(id)?.map(|schema| schema.value().to_owned()))
    }
}
