//! The doorway to what the safe client lacks, batch reads, new credentials and the ids of topics: all `unsafe` of the runtime is here.
//!
//! The safe client hands messages over one at a time; librdkafka can hand over a thousand of one partition in one call, at less than half the
//! cost. That is sound on a partition's own queue only (on the consumer's queue it would answer a rebalance behind our back).
//! Holds: a queue and its messages never outlive the client they came from, because both borrow or share it; nothing is copied.

use crate::runtime::log::{Bell, Message};
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use std::ffi::{CStr, CString, c_void};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

/// One partition's own queue of fetched messages.
pub(super) struct PartitionQueue<C: ConsumerContext> {
    queue: *mut sys::rd_kafka_queue_t,
    /// What the ring callback points to; dropped after the callback is taken off.
    bell: *const Bell,
    /// Keeps the client that the queue belongs to.
    _consumer: Arc<BaseConsumer<C>>,
}

impl<C: ConsumerContext + ClientContext> PartitionQueue<C> {
    /// Takes a partition's messages out of the consumer's common queue. To be called before the partition is assigned, so that
    /// none has gone the common way. `None`: the name cannot be a topic.
    pub(super) fn split(
        consumer: &Arc<BaseConsumer<C>>,
        topic: &str,
        partition: i32,
        bell: Arc<Bell>,
    ) -> Option<PartitionQueue<C>> {
        let name = CString::new(topic).ok()?;
        let bell = Arc::into_raw(bell);
        // SAFETY: the client pointer is valid while `consumer` lives, which the new value shares. A null queue is checked before use.
        // The callback's pointer is a strong count of the bell that `drop` gives back after the callback is off.
        unsafe {
            let queue = sys::rd_kafka_queue_get_partition(
                consumer.client().native_ptr(),
                name.as_ptr(),
                partition,
            );
            if queue.is_null() {
                drop(Arc::from_raw(bell));
                return None;
            }
            sys::rd_kafka_queue_forward(queue, ptr::null_mut());
            sys::rd_kafka_queue_cb_event_enable(queue, Some(ring), bell as *mut c_void);
            Some(PartitionQueue {
                queue,
                bell,
                _consumer: consumer.clone(),
            })
        }
    }

    /// The messages that are here by now, as many as the buffer has room for; does not wait.
    pub(super) fn batch<'a>(&mut self, buffer: &'a mut Buffer) -> Batch<'a> {
        // SAFETY: the buffer has room for its length of pointers; librdkafka fills the first `count` of them and gives each message to us.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(self.queue, 0, buffer.0.as_mut_ptr(), buffer.0.len())
        };
        Batch {
            messages: &buffer.0[..usize::try_from(count).unwrap_or(0)],
        }
    }
}

// SAFETY: librdkafka's queues may be used from any thread; ours is only ever used by the thread that owns the value.
unsafe impl<C: ConsumerContext> Send for PartitionQueue<C> {}

impl<C: ConsumerContext> Drop for PartitionQueue<C> {
    fn drop(&mut self) {
        // SAFETY: the queue is ours and not yet destroyed. librdkafka calls back with the queue's lock held, so that none runs once
        // the callback is taken off; then the bell's count may go.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue, None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue);
            drop(Arc::from_raw(self.bell));
        }
    }
}

/// Gives a client a user and a password, for this and every later connection; one that waits to be tried again is tried at once.
pub(super) fn set_password<C: ClientContext>(
    client: &Client<C>,
    user: &str,
    password: &str,
) -> Result<(), String> {
    let no_zero = |_| "a zero byte in a user name or password".to_owned();
    let (user, password) = (
        CString::new(user).map_err(no_zero)?,
        CString::new(password).map_err(no_zero)?,
    );
    // SAFETY: the client lives; librdkafka copies both texts. An error is ours to destroy, after its text was copied.
    unsafe {
        let error = sys::rd_kafka_sasl_set_credentials(
            client.native_ptr(),
            user.as_ptr(),
            password.as_ptr(),
        );
        if error.is_null() {
            return Ok(());
        }
        let why = CStr::from_ptr(sys::rd_kafka_error_string(error));
        let why = why.to_string_lossy().into_owned();
        sys::rd_kafka_error_destroy(error);
        Err(why)
    }
}

/// Gives a client an OAUTHBEARER token that serves until `expires_ms`, milliseconds since the epoch.
pub(super) fn set_token<C: ClientContext>(
    client: &Client<C>,
    token: &str,
    principal: &str,
    expires_ms: i64,
) -> Result<(), String> {
    let no_zero = |_| "a zero byte in a token".to_owned();
    let (token, principal) = (
        CString::new(token).map_err(no_zero)?,
        CString::new(principal).map_err(no_zero)?,
    );
    let mut why = [0; 256];
    // SAFETY: the client lives; librdkafka copies the texts, and writes at most the given length of a text that ends in zero.
    unsafe {
        let code = sys::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            token.as_ptr(),
            expires_ms,
            principal.as_ptr(),
            ptr::null_mut(),
            0,
            why.as_mut_ptr(),
            why.len(),
        );
        match code {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            _ => Err(CStr::from_ptr(why.as_ptr()).to_string_lossy().into_owned()),
        }
    }
}

/// Room for a batch's pointers, used again and again.
pub(super) struct Buffer(Vec<*mut sys::rd_kafka_message_t>);

// SAFETY: between batches, which borrow it, no pointer in it is followed.
unsafe impl Send for Buffer {}

impl Buffer {
    pub(super) fn with_room_for(messages: usize) -> Buffer {
        Buffer(vec![ptr::null_mut(); messages])
    }
}

/// What one read brought; the messages live until it is dropped.
pub(super) struct Batch<'a> {
    messages: &'a [*mut sys::rd_kafka_message_t],
}

/// What nobody has taken yet of what a read brought.
pub(super) struct Untaken(Vec<*mut sys::rd_kafka_message_t>);

// SAFETY: the messages are ours alone; librdkafka's may be used and destroyed on any thread.
unsafe impl Send for Untaken {}

/// A message, or a word about the partition.
pub(super) enum Entry<'a> {
    Message(Message<'a>),
    /// Everything readable before this offset has been handed over.
    End(i64),
    Error(RDKafkaErrorCode),
}

impl Untaken {
    /// Once more as a batch, in place of a read.
    pub(super) fn batch(mut self, buffer: &mut Buffer) -> Batch<'_> {
        let messages = std::mem::take(&mut self.0);
        // It came from a buffer of this size.
        let room = &mut buffer.0[..messages.len()];
        room.copy_from_slice(&messages);
        Batch { messages: room }
    }
}

impl Drop for Untaken {
    fn drop(&mut self) {
        drop(Batch { messages: &self.0 });
    }
}

impl Batch<'_> {
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Keeps the messages from the `first` on; `None` where there are none.
    pub(super) fn keep_from(mut self, first: usize) -> Option<Untaken> {
        let (taken, left) = self.messages.split_at(first);
        self.messages = taken;
        (!left.is_empty()).then(|| Untaken(left.to_vec()))
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        // SAFETY: every pointer is a message that we own until drop; what an entry borrows lives as long as `self`.
        self.messages
            .iter()
            .map(|&message| unsafe { entry(message) })
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for &message in self.messages {
            // SAFETY: each pointer is ours, and this is the only place that destroys it.
            unsafe { sys::rd_kafka_message_destroy(message) };
        }
    }
}

/// SAFETY: `message` points to a live message of librdkafka's that outlives `'a`.
unsafe fn entry<'a>(message: *const sys::rd_kafka_message_t) -> Entry<'a> {
    use sys::rd_kafka_resp_err_t as code;
    // SAFETY: the caller's promise.
    let fields = unsafe { &*message };
    match fields.err {
        code::RD_KAFKA_RESP_ERR_NO_ERROR => {}
        code::RD_KAFKA_RESP_ERR__PARTITION_EOF => return Entry::End(fields.offset),
        error => return Entry::Error(error.into()),
    }
    let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the caller's promise; librdkafka's lengths are those of its own buffers, and a null pointer means none.
    unsafe {
        let timestamp = sys::rd_kafka_message_timestamp(message, &mut kind);
        Entry::Message(Message {
            offset: fields.offset,
            timestamp_ms: (timestamp >= 0).then_some(timestamp),
            key: bytes(fields.key, fields.key_len),
            payload: bytes(fields.payload, fields.len),
        })
    }
}

/// SAFETY: `start` is null, or the start of `length` bytes that outlive `'a`.
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), length) })
}

unsafe extern "C" fn ring(_client: *mut sys::rd_kafka_t, bell: *mut c_void) {
    // SAFETY: `bell` is the pointer that `split` gave, whose count `drop` keeps until no callback can run.
    unsafe { &*bell.cast::<Bell>() }.ring();
}

/// The end of a partition as its last fetch told, in offsets; `None` until one has. Does not ask the broker.
pub(super) fn known_end<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> Option<i64> {
    let name = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client lives as long as `consumer`; the two numbers are written by the call.
    let error = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            consumer.client().native_ptr(),
            name.as_ptr(),
            partition,
            &mut low,
            &mut high,
        )
    };
    (error == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
}

/// Whether a member's client has nothing to tell: no decision of its group, no error.
pub(super) fn is_quiet<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> bool {
    // SAFETY: the client lives as long as `consumer`; the handle is ours and given back. A client without a group has no such queue.
    unsafe {
        let queue = sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr());
        if queue.is_null() {
            return true;
        }
        let events = sys::rd_kafka_queue_length(queue);
        sys::rd_kafka_queue_destroy(queue);
        events == 0
    }
}

/// By what a group knows a member, and as of which generation or epoch. `None`: it is no member now. Brokers take positions of a transaction from somebody without
/// name and generation without asking further.
pub(super) fn standing<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<(CString, i32)> {
    // SAFETY: the client lives as long as `consumer`; what it answers is ours and given back after the name, which ends in zero, was copied.
    unsafe {
        let metadata = sys::rd_kafka_consumer_group_metadata(consumer.client().native_ptr());
        if metadata.is_null() {
            return None;
        }
        let name = sys::rd_kafka_consumer_group_metadata_member_id(metadata);
        let name = (!name.is_null()).then(|| CStr::from_ptr(name).to_owned());
        let generation = sys::rd_kafka_consumer_group_metadata_generation_id(metadata);
        sys::rd_kafka_consumer_group_metadata_destroy(metadata);
        let name = name.filter(|name| !name.is_empty() && generation >= 0)?;
        Some((name, generation))
    }
}

/// A topic's id, or why it has none.
type Described = Result<u128, RDKafkaErrorCode>;

/// What a broker says of some topics: the id of each, or why it has none. The safe client does not ask for ids.
pub(super) fn describe_topics<C: ClientContext>(
    client: &Client<C>,
    names: &[String],
    timeout: Duration,
) -> Result<Vec<(String, Described)>, RDKafkaErrorCode> {
    use sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    let names: Vec<CString> = names
        .iter()
        .filter_map(|name| CString::new(name.as_str()).ok())
        .collect();
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client lives. librdkafka copies the names; collection, options, queue and event are ours, and each is destroyed once, the event
    // after all that was read out of it was copied.
    unsafe {
        let native = client.native_ptr();
        let asked =
            sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let options = sys::rd_kafka_AdminOptions_new(native, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        let mut why = [0; 256];
        sys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            timeout_ms,
            why.as_mut_ptr(),
            why.len(),
        );
        let queue = sys::rd_kafka_queue_new(native);
        sys::rd_kafka_DescribeTopics(native, asked, options, queue);
        // The request has its own timeout, which is told as an event.
        let event = sys::rd_kafka_queue_poll(queue, timeout_ms.saturating_add(1_000));
        let answer = described(event);
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_TopicCollection_destroy(asked);
        answer
    }
}

/// SAFETY: `event` is null, or a live event of ours.
unsafe fn described(
    event: *mut sys::rd_kafka_event_t,
) -> Result<Vec<(String, Described)>, RDKafkaErrorCode> {
    use sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    if event.is_null() {
        return Err(RDKafkaErrorCode::OperationTimedOut);
    }
    // SAFETY: the caller's promise; what is read belongs to the event, which outlives this call, and lengths are librdkafka's own.
    unsafe {
        let error = sys::rd_kafka_event_error(event);
        if error != RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(error.into());
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(RDKafkaErrorCode::Unknown);
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let one = |at: usize| {
            let topic = *topics.add(at);
            let name = CStr::from_ptr(sys::rd_kafka_TopicDescription_name(topic));
            let error = sys::rd_kafka_error_code(sys::rd_kafka_TopicDescription_error(topic));
            let id = sys::rd_kafka_TopicDescription_topic_id(topic);
            let answer = match error {
                RD_KAFKA_RESP_ERR_NO_ERROR if !id.is_null() => {
                    let high = sys::rd_kafka_Uuid_most_significant_bits(id) as u64;
                    let low = sys::rd_kafka_Uuid_least_significant_bits(id) as u64;
                    Ok(u128::from(high) << 64 | u128::from(low))
                }
                RD_KAFKA_RESP_ERR_NO_ERROR => Err(RDKafkaErrorCode::Unknown),
                error => Err(error.into()),
            };
            (name.to_string_lossy().into_owned(), answer)
        };
        Ok((0..count).map(one).collect())
    }
}
