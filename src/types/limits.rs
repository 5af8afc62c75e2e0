//! Every bound of the library, with what happens at it.
//!
//! Under loom, and some in unit tests, bounds shrink so that wrap-around and full structures happen in every model.

#![forbid(unsafe_code)]

/// Longest key in bytes. A longer one, or an empty one, is refused with `InsertError::Key`.
pub const KEY_BYTES_MAX: usize = 1024;

/// Largest value that any cache can be configured for, in bytes.
pub const VALUE_BYTES_LIMIT: u64 = 64 << 20;

/// Default of `Builder::value_bytes_max`.
pub const VALUE_BYTES_DEFAULT: u64 = 1 << 20;

/// Smallest capacity in bytes. A smaller one is refused with `OpenError::Capacity`.
pub const CAPACITY_MIN: u64 = 1 << 20;

/// Largest capacity in bytes: 256 GiB, what a 32-bit slot number of the smallest class can name.
pub const CAPACITY_MAX: u64 = 1 << 38;

/// Smallest page in bytes.
pub const PAGE_BYTES_MIN: u64 = 16 << 10;

/// Largest page in bytes, the size of a huge page.
pub const PAGE_BYTES_MAX: u64 = 2 << 20;

/// Pins on one slot. One more is answered with owned bytes, and counted.
pub const PINS_PER_SLOT_MAX: u32 = 511;

/// Share of the data bytes that pins may hold, as a divisor (5 %). Beyond it, owned bytes are handed out, and counted.
pub const PINNED_SHARE_DIVISOR: u64 = 20;

/// Overflow buckets behind one home bucket. Beyond them the coldest entry of the chain is evicted, and counted.
pub const OVERFLOW_CHAIN_MAX: usize = 3;

/// Splits of the index under way at one time. Beyond them growth waits for the next insert.
pub const SPLITS_MAX: usize = 8;

/// Locks for inserts of absent keys. Threads that meet on one wait, at most for one insert.
pub const STRIPES_MAX: usize = if cfg!(loom) { 2 } else { 1024 };

/// Key spaces whose clear stamp is kept apart. With more, clearing one clears all, and says so.
pub const CLEAR_STAMPS_MAX: usize = 64;

/// How far ahead of the clock a version given from outside may lie, in microseconds; in a cluster half of
/// [`STAMP_SKEW_MAX_US`]. Beyond it: an error.
pub const STAMP_AHEAD_MAX_US: u64 = 60_000_000;

/// How far ahead of the clock a stamp of another node may lie, in microseconds. Beyond it the clock does not follow, and
/// what carries the stamp is taken as an invalidation, and counted.
pub const STAMP_SKEW_MAX_US: u64 = 500_000;

/// How far ahead of the clock a version floor may lie, in microseconds: until the clock gets there, writes of absent keys of
/// its range are refused. A stamp beyond it counts as now, so that a clock that is hours off spoils nothing for hours.
pub const FLOOR_AHEAD_MAX_US: u64 = 60_000_000;

/// A stamp is made from a coarse clock, which is late by at most so many microseconds.
pub(crate) const CLOCK_LATE_US: u64 = 20_000;

/// Loads at one time, unless set, and the most that can be. Others wait for a turn.
pub const LOADS_DEFAULT: usize = 1024;
/// See [`LOADS_DEFAULT`].
pub const LOADS_LIMIT: usize = 4096;

/// Callers that wait for one load, unless set. One more loads alone; counted as `loads_alone`.
pub const LOAD_WAITERS_DEFAULT: usize = 4096;

/// How long one waits for a load, or for a turn, unless set, in milliseconds. Then it loads alone; counted as `loads_alone`.
pub const LOAD_WAIT_DEFAULT_MS: u64 = 5_000;

/// How long it is remembered that the database has nothing, unless set, in milliseconds.
pub const NEGATIVE_TTL_DEFAULT_MS: u64 = 10_000;

/// Cells in which loads under way are noted. A write voids the loads of all keys of a cell: among so many the wrong one is
/// rare.
pub(crate) const FILL_CELLS: usize = 4096;

/// How far stamps are reserved ahead in the file, in microseconds. Lost at a restart, so that stamps never repeat: less than
/// a restart takes, so that many in a row do not run ahead of the clock.
pub const STAMP_CEILING_US: u64 = 1_000;

/// How far the stamps of an earlier life may lie ahead of the clock at an open, in microseconds: a day. Beyond it the
/// file is opened cold.
pub const CEILING_AHEAD_MAX_US: u64 = 86_400_000_000;

/// Over how long the entries of before the loss of a node go, with `OnOriginLost::Revalidate`, in milliseconds.
pub const DOUBT_SPAN_MS: u64 = 30_000;

/// Longest time to live: what 31 bits of seconds hold, 68 years.
pub const TTL_SECONDS_MAX: u64 = (1 << 31) - 1;

/// Opens in a row that each lived less than [`SHORT_LIFE_MS`] before the next one starts cold at half size.
pub const SHORT_LIVES_MAX: u32 = 3;

/// A life shorter than this, without a clean close, counts as a crash at start. Milliseconds.
pub const SHORT_LIFE_MS: u64 = 10_000;

/// How long a close waits for writes that are under way, in milliseconds. Beyond it the file is not sealed, with an error.
pub const CLOSE_WAIT_MAX_MS: u64 = 1_000;

/// Cells of the probation ring of one class. Beyond them a new number displaces the oldest, which is then the victim.
pub const RING_CELLS_MAX: u32 = 1 << 30;

/// Cells that the probation ring starts with, and the unit in which it doubles.
pub const RING_CHUNK_CELLS: u32 = if cfg!(loom) { 1 } else { 64 };

/// Rounds of cells without a number that one pop passes over before it gives up; its caller then turns to main.
pub const RING_SKIPS_MAX: u32 = if cfg!(loom) { 2 } else { 64 };

/// Slots that one search along the hand passes over. Beyond them the least used of them is the victim.
pub const HAND_PASSES_MAX: u32 = if cfg!(loom) { 4 } else { 32 };

/// Most bytes of the ring of own changes. What is older is caught up with by comparing.
pub const CHANGES_BYTES_MAX: u64 = 8 << 20;

/// Share of the capacity that the ring of own changes takes at most, as a divisor; two pages at least.
pub const CHANGES_SHARE_DIVISOR: u64 = 64;

/// Other nodes of a cluster. One more is refused at the handshake, and counted.
pub const PEERS_MAX: usize = 64;

/// Shortest shared secret in bytes. A shorter one is refused with `SecretError::Length`.
pub const SECRET_BYTES_MIN: usize = 16;

/// Longest shared secret in bytes. A longer one is refused with `SecretError::Length`.
pub const SECRET_BYTES_MAX: usize = 1024;

/// Secrets that hold at one time: the new one and those that it replaces. More are refused with `SecretError::Count`.
pub const SECRETS_MAX: usize = 4;

/// Longest datagram, with everything in it. A longer one is neither sent nor looked at.
pub const DATAGRAM_BYTES_MAX: usize = 1_400;

/// Lives of nodes whose datagrams are told from replayed ones. With more, the one heard longest ago is forgotten.
pub const SENDERS_MAX: usize = 64;

/// Networks (an IPv4 address, a /64 of IPv6) whose connections are counted apart. All others share one budget.
pub const NETWORKS_MAX: usize = 1_024;

/// Nodes that membership remembers, with those that are down. With more, the one down longest is forgotten.
pub const MEMBERS_KNOWN_MAX: usize = 512;

/// Streams whose position is kept: lives of nodes. With more, the one goes that has not moved for longest of those that nobody
/// writes any more.
pub const STREAMS_MAX: usize = 128;

/// Bytes behind the header of one frame on the wire: a batch that is just not full yet, and the largest entry that goes
/// whole. A longer one closes the connection, and is counted.
pub const FRAME_BYTES_MAX: usize = BATCH_BYTES + CHUNK_BYTES + (4 << 10);

/// Bytes behind the header of the frame in which a node says who it is. More are refused before they are read.
pub const HELLO_BYTES_MAX: usize = 16 << 10;

/// Bytes behind the header of the frame in which a node says why it does not talk.
pub const REFUSAL_BYTES_MAX: usize = 1 << 10;

/// Longest text of an address. Any address of a socket has one.
pub const ADDRESS_BYTES_MAX: usize = 64;

/// Longest text of a refusal; what is longer is cut off.
pub const REASON_BYTES_MAX: usize = 200;

/// Bytes after which a batch of changes is closed, and the most slices that one write to a socket has.
pub const BATCH_BYTES: usize = 64 << 10;

/// Slices of one write to a socket.
pub const BATCH_SLICES: usize = 64;

/// Values above this many bytes go in chunks of at most this many.
pub const CHUNK_BYTES: usize = 256 << 10;

/// Values from this many bytes on are sent from where they lie in the arena; smaller ones are copied into the batch.
pub const COPIED_VALUE_BYTES_MAX: usize = 512;

/// Seeds of a cluster. More are refused with `StartError::Seeds`.
pub const SEEDS_MAX: usize = 64;

/// Longest name of a node or of a cluster in bytes of UTF-8. A longer one, or an empty one, is refused with
/// `StartError::Name`; in HELLO it closes the connection, and is counted.
pub const NODE_NAME_BYTES_MAX: usize = 64;

/// Events that are kept for those who read them late. With more, the oldest goes, and is counted.
pub const EVENTS_MAX: usize = 1_024;

/// Addresses with a wrong secret, and names of seeds without an address, that events tell of within [`EVENT_SOURCE_INTERVAL_MS`].
/// More are counted only.
pub const EVENT_SOURCES_MAX: usize = 64;

/// Between two events about one such address or name, in milliseconds.
pub const EVENT_SOURCE_INTERVAL_MS: u64 = 60_000;

/// Calls that wait for other nodes at one time, of one cluster. One more gets `WaitError::TooManyWaits`.
pub const WAITS_MAX: usize = 4_096;

/// Addresses that all seeds may have together. More are left out, evenly of each name.
pub const SEED_ADDRESSES_MAX: usize = 64;

/// Connections of one node that are open or being made. One more is closed at once, and counted.
pub const CONNECTIONS_MAX: usize = 4 * PEERS_MAX;

/// Connections of which the node knows, those with a handshake under way included. One more is refused, and counted.
pub const LINKS_MAX: usize = 3 * PEERS_MAX;

/// Bytes on the heap for the changes of other nodes, kept for those who can not get them from their writer. With more, the
/// oldest go; what is older is caught up with by comparing.
pub const RELAY_BYTES: usize = 8 << 20;

/// Bytes of changes that wait for the end of a sync. With more, and with a value in chunks, the stream stands still until
/// then; counted as `streams_halted`.
pub const PUT_OFF_BYTES_MAX: usize = 1 << 20;

/// Bytes in which a node that gives a sync notes what the receiver has: a bit for each 64 bytes of the arena up to this. In
/// an arena above 16 GiB several entries share a bit, and the receiver loads some of them again.
pub const GIVEN_BYTES_MAX: usize = 32 << 20;

/// VERIFY frames of a sync that are unanswered at any time. More close the connection, and are counted.
pub const VERIFIES_OPEN_MAX: u32 = 2;

/// Bytes of short frames that wait for a peer which does not read. With more, its connection is closed, and counted.
pub const CONTROL_BYTES_MAX: usize = 256 << 10;

/// Keys of one stream on its way to one peer of which is known that a newer version went ahead. One more displaces another,
/// whose next change is then sent once more.
pub const SENT_AHEAD_MAX: usize = if cfg!(test) { 8 } else { 256 };

/// Bytes on the heap for one peer: a frame in, a batch and short frames out, records, keys sent ahead. While one catches up
/// from this node, [`GIVEN_BYTES_MAX`] come to that.
pub const PEER_BYTES_MAX: usize = 6 << 20;

/// Addresses that a node may dial. With more, one is forgotten that is no seed and not in use, or the new one is left out,
/// and counted.
pub const ADDRESSES_MAX: usize = 256;

/// Events of the protocol that wait for the driver. With more, the newest goes, and is counted.
pub const EVENTS_WAITING_MAX: usize = 256;

/// Datagrams of membership that wait to be sent. With more, the newest is lost, and counted.
pub const DATAGRAMS_WAITING_MAX: usize = 512;

/// Bytes of the kernel's buffers of one connection, each way. Small ones keep what is sent fresh.
pub const SOCKET_BUFFER_BYTES: usize = 256 << 10;

/// How long the kernel tries to send before it gives a connection up, in milliseconds.
pub const TCP_USER_TIMEOUT_MS: u32 = 3_000;

/// How long a connection may take until both sides know each other's secret, in milliseconds.
pub const CONNECT_TIMEOUT_MS: u64 = 3_000;

/// Bytes that are read from one connection before another has its turn.
pub const READ_BYTES_PER_TURN: usize = 1 << 20;

/// Bytes that are written to one connection before another has its turn.
pub const WRITE_BYTES_PER_TURN: usize = 1 << 20;

/// Datagrams, and new connections, that are taken before the connections have their turn.
pub const ARRIVALS_PER_TURN: usize = 64;

/// Where a node of a cluster listens unless it is told otherwise.
pub const LISTEN_DEFAULT: &str = "0.0.0.0:7400";

/// How long a connection that is being closed may take to send its last bytes, in milliseconds.
pub const CLOSE_LINGER_MS: u64 = 1_000;

/// How long a node that has left goes on sending its last bytes, in milliseconds.
pub const LEAVE_LINGER_MS: u64 = 100;

/// How old the status that handles show may be while something happens, in milliseconds.
pub const STATUS_INTERVAL_MS: u64 = 10;
