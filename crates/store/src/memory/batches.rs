//! Files, batches and what was made at providers, in the process.

use tidegate_core::{
    batches::{BatchId, BatchStore, BatchStoreError, Content, FileId, Owner, Page, StoredBatch, StoredFile},
    clock::UnixMillis,
    made::{Made, MadeStore, MadeStoreError},
};

use super::Memory;

/// The items of a list, by its page.
fn paged<Id: Ord + Copy, T: Clone>(items: Vec<(Id, &T)>, page: Page<Id>) -> Vec<T> {
    let mut items = items;
    items.sort_by_key(|(id, _)| *id);
    if page.newest_first {
        items.reverse();
    }
    let behind = |id: &Id| page.after.is_none_or(|after| if page.newest_first { *id < after } else { *id > after });
    items.into_iter().filter(|(id, _)| behind(id)).take(page.most).map(|(_, item)| item.clone()).collect()
}

impl BatchStore for Memory {
    fn keep(&self, batch: Option<&StoredBatch>, files: &[StoredFile]) -> Result<(), BatchStoreError> {
        let (mut known, mut batches) = (self.files.lock(), self.batches.lock());
        known.extend(files.iter().map(|file| (file.id, file.clone())));
        batches.extend(batch.map(|batch| (batch.id, batch.clone())));
        Ok(())
    }

    fn file(&self, owner: &Owner, id: FileId) -> Result<Option<StoredFile>, BatchStoreError> {
        Ok(self.files.lock().get(&id).filter(|file| file.owner == *owner).cloned())
    }

    fn files(&self, owner: &Owner, page: Page<FileId>) -> Result<Vec<StoredFile>, BatchStoreError> {
        let files = self.files.lock();
        Ok(paged(files.values().filter(|file| file.owner == *owner).map(|file| (file.id, file)).collect(), page))
    }

    fn forget_file(&self, id: FileId) -> Result<bool, BatchStoreError> {
        Ok(self.files.lock().remove(&id).is_some())
    }

    fn over(&self, now: UnixMillis) -> Result<Vec<StoredFile>, BatchStoreError> {
        let mut over: Vec<_> = self.files.lock().values().filter(|file| file.expires <= now).cloned().collect();
        over.sort_by_key(|file| file.expires);
        over.truncate(1_000);
        Ok(over)
    }

    fn has_file(&self, id: FileId) -> Result<bool, BatchStoreError> {
        Ok(self.files.lock().contains_key(&id))
    }

    fn bytes(&self) -> Result<u64, BatchStoreError> {
        Ok(self.files.lock().values().fold(0, |sum, file| sum.saturating_add(file.bytes)))
    }

    fn batch(&self, owner: &Owner, id: BatchId) -> Result<Option<StoredBatch>, BatchStoreError> {
        Ok(self.batches.lock().get(&id).filter(|batch| batch.owner == *owner).cloned())
    }

    fn batches(&self, owner: &Owner, page: Page<BatchId>) -> Result<Vec<StoredBatch>, BatchStoreError> {
        let batches = self.batches.lock();
        let own = batches.values().filter(|batch| batch.owner == *owner);
        Ok(paged(own.map(|batch| (batch.id, batch)).collect(), page))
    }

    fn unended(&self) -> Result<Vec<StoredBatch>, BatchStoreError> {
        Ok(self.batches.lock().values().filter(|batch| !batch.status.has_ended()).cloned().collect())
    }

    fn forget_batches(&self, before: UnixMillis) -> Result<u64, BatchStoreError> {
        let (files, mut batches) = (self.files.lock(), self.batches.lock());
        let had = batches.len();
        batches.retain(|id, batch| {
            let of =
                |file: &StoredFile| matches!(file.content, Content::Answers(of) | Content::Failures(of) if of == *id);
            !batch.status.has_ended() || batch.created >= before || files.values().any(of)
        });
        Ok(u64::try_from(had.saturating_sub(batches.len())).unwrap_or(u64::MAX))
    }
}

impl MadeStore for Memory {
    fn newest_made(&self, most: usize) -> Result<Vec<(String, Made)>, MadeStoreError> {
        let made = self.made.lock();
        Ok(made.iter().skip(made.len().saturating_sub(most)).cloned().collect())
    }

    fn note_made(&self, path: &str, thing: &Made, most: usize) -> Result<(), MadeStoreError> {
        let mut made = self.made.lock();
        made.retain(|(known, _)| known != path);
        made.push((path.to_owned(), thing.clone()));
        let beyond = made.len().saturating_sub(most);
        made.drain(..beyond);
        Ok(())
    }

    fn forget_made(&self, path: &str) -> Result<(), MadeStoreError> {
        self.made.lock().retain(|(known, _)| known != path);
        Ok(())
    }
}
