"""Java's default partitioner, for all our producers: we decide no command that lies on another partition."""

_MASK = 0xFFFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key, as Kafka's `Utils.murmur2` and librdkafka's `murmur2_random` compute it."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    """MurmurHash2 by Austin Appleby (public domain), 32 bit, with Kafka's seed."""
    m, r = 0x5BD1E995, 24
    h = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & _MASK
        k = (k ^ k >> r) * m & _MASK
        h = h * m & _MASK ^ k
    if rest := data[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & _MASK
    h = (h ^ h >> 13) * m & _MASK
    return h ^ h >> 15
