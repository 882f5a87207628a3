/* The loops that cost most when a capture is summed, or made, in one pass each.
 *
 * Every function takes arrays and fills arrays; none allocates, and none keeps anything but the key
 * table that it is given. They know the plain case only: as soon as something is odd (cut short,
 * a length that cannot be) they say so, and the caller goes the way in numpy, which knows what to
 * report. No octet is read that was not checked to be inside the buffer: datagrams come from strangers.
 *
 * Numbers of the formats are big-endian. A place is an index into the buffer. Needs no C library: only
 * a compiler.
 */
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t i64;

enum { ODD = -1, AHEAD = 16, FAR = 2048, LONG_PIECE = 256 };

/* A block is larger than the caches near the processor: ask for what comes soon. */
#define SOON(condition, place)              \
    do {                                    \
        if (condition)                      \
            __builtin_prefetch(place);      \
    } while (0)

static inline u64 number(const u8 *at, int octets)
{
    u64 value = 0;
    for (int i = 0; i < octets; i++)
        value = value << 8 | at[i];
    return value;
}

/* Copy a few octets, which a call of memcpy would take longer for. */
static inline void copy(u8 *to, const u8 *from, i64 octets)
{
    if (octets >= LONG_PIECE) {
        __builtin_memcpy(to, from, (u64)octets);
    } else if (octets >= 16) {
        for (i64 i = 0; i + 16 < octets; i += 16)
            __builtin_memcpy(to + i, from + i, 16);
        __builtin_memcpy(to + octets - 16, from + octets - 16, 16);
    } else if (octets >= 8) {
        __builtin_memcpy(to, from, 8);
        __builtin_memcpy(to + octets - 8, from + octets - 8, 8);
    } else {
        for (i64 i = 0; i < octets; i++)
            to[i] = from[i];
    }
}

/* ---------------------------------------------------------------- chains of records */

/* Follow records from the first octet on, each of which says how long it is (collector/chain.py).
 *
 * Fills `found` (of `room` places) with where they begin, `heads` with copies of their heads, and `end`
 * with where the first is that is not whole or has a length that cannot be. Returns how many.
 */
i64 flowlab_follow(const u8 *b, i64 size, i64 big, i64 head, i64 length_at, i64 beside, i64 shortest,
                   i64 longest, i64 *found, u8 *heads, i64 room, i64 *end)
{
    i64 count = 0, at = 0;
    while (at <= size - head && count < room) {
        const u8 *p = b + at + length_at;
        i64 length = big ? (i64)number(p, 4)
                         : (i64)((u32)p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24);
        i64 step = beside + length;
        if (length < shortest || length > longest || step > size - at || step <= 0)
            break;
        /* Where the next one is, this one says: so all that is in between is asked for. */
        for (i64 line = FAR; line < FAR + step && at + line < size; line += 64)
            __builtin_prefetch(b + at + line);
        copy(heads + count * head, b + at, head);
        found[count++] = at;
        at += step;
    }
    *end = at;
    return count;
}

/* ---------------------------------------------------------------- columns */

/* Read big-endian numbers of fixed fields: `columns` of them for each record.
 *
 * A field is in one of the record's `segments`, so many octets behind where that begins (`places` has a
 * row of them for each record), and has 1, 2, 4 or 8 octets. Returns 0, or ODD if a number is not all
 * inside the buffer.
 */
i64 flowlab_columns(const u8 *b, i64 size, const i64 *places, i64 segments, i64 count,
                    i64 columns, const i64 *segment, const i64 *offset, const i64 *width,
                    void *const *out)
{
    i64 reach = 0;
    for (i64 c = 0; c < columns; c++)
        if (segment[c] == segments - 1 && offset[c] >= reach)
            reach = offset[c] + 1;
    for (i64 i = 0; i < count; i++) {
        const i64 *row = places + i * segments, *soon = row + AHEAD * segments;
        if (i + AHEAD < count)
            for (i64 at = soon[0]; at < soon[segments - 1] + reach && at < size; at += 64)
                __builtin_prefetch(b + at);
        for (i64 c = 0; c < columns; c++) {
            i64 place = row[segment[c]] + offset[c];
            if (place < 0 || place > size - width[c])
                return ODD;
            const u8 *p = b + place;
            switch (width[c]) {
            case 1: ((u8 *)out[c])[i] = *p; break;
            case 2: ((u16 *)out[c])[i] = (u16)number(p, 2); break;
            case 4: ((u32 *)out[c])[i] = (u32)number(p, 4); break;
            case 8: ((u64 *)out[c])[i] = number(p, 8); break;
            default: return ODD;
            }
        }
    }
    return 0;
}

/* Copy the `width` octets at each place, one behind the other. Returns 0, or ODD likewise. */
i64 flowlab_gather(const u8 *b, i64 size, const i64 *at, i64 count, i64 width, u8 *out)
{
    for (i64 i = 0; i < count; i++) {
        SOON(i + AHEAD < count, b + at[i + AHEAD]);
        if (at[i] < 0 || at[i] > size - width)
            return ODD;
        switch (width) {
        case 2: __builtin_memcpy(out + 2 * i, b + at[i], 2); break;
        case 4: __builtin_memcpy(out + 4 * i, b + at[i], 4); break;
        case 8: __builtin_memcpy(out + 8 * i, b + at[i], 8); break;
        case 16: __builtin_memcpy(out + 16 * i, b + at[i], 16); break;
        default: copy(out + width * i, b + at[i], width);
        }
    }
    return 0;
}

/* ---------------------------------------------------------------- packets */

enum { IPV4 = 0x0800, IPV6 = 0x86DD, ICMP = 1, TCP = 6, UDP = 17, ICMPV6 = 58 };

static const u64 MAPPED = 0xFFFFull << 32;

/* What an IP header without options, of a packet that is no fragment, says. */
struct network {
    i64 header;
    i64 total;
    u8 version;
    u8 protocol;
    u64 source[2];
    u64 destination[2];
};

/* Read a plain IP header with `left` octets behind `p`; 0 if it is not plain. */
static inline int plain_network(const u8 *p, i64 left, u64 type, struct network *ip)
{
    if (type == IPV4) {
        if (left < 20 || p[0] != 0x45 || (number(p + 6, 2) & 0x3FFF))
            return 0;
        ip->header = 20;
        ip->total = (i64)number(p + 2, 2);
        ip->version = 4;
        ip->protocol = p[9];
        ip->source[0] = ip->destination[0] = 0;
        ip->source[1] = MAPPED | number(p + 12, 4);
        ip->destination[1] = MAPPED | number(p + 16, 4);
        return ip->total >= 20;
    }
    if (type == IPV6) {
        if (left < 40 || p[0] >> 4 != 6)
            return 0;
        ip->header = 40;
        ip->total = 40 + (i64)number(p + 4, 2);
        ip->version = 6;
        ip->protocol = p[6];
        for (int half = 0; half < 2; half++) {
            ip->source[half] = number(p + 8 + 8 * half, 8);
            ip->destination[half] = number(p + 24 + 8 * half, 8);
        }
        return 1;
    }
    return 0;
}

/* The UDP datagrams of plain frames (collector/plain_udp.py): without tags, options, fragments.
 *
 * `link` is how many octets the link's header has, `type_at` where in it the EtherType is (below 0:
 * nowhere). `plain` says which frames are; only their other columns are filled. Returns how many.
 */
i64 flowlab_plain_udp(const u8 *b, i64 size, const i64 *start, const i64 *captured, i64 count,
                      i64 link, i64 type_at, u8 *plain, i64 *payload, i64 *length, i64 *missing,
                      u64 *source, u16 *source_port, u64 *destination, u16 *destination_port)
{
    i64 found = 0;
    for (i64 i = 0; i < count; i++) {
        struct network ip;
        const u8 *frame = b + start[i];
        SOON(i + AHEAD < count, b + start[i + AHEAD] + 14);
        i64 left = captured[i] - link;
        plain[i] = 0;
        if (start[i] < 0 || captured[i] > size - start[i] || left < 1)
            continue;
        u64 type = type_at >= 0 ? number(frame + type_at, 2) : frame[link] >> 4 == 4 ? IPV4 : IPV6;
        const u8 *p = frame + link;
        if (!plain_network(p, left, type, &ip) || ip.protocol != UDP || left < ip.header + 8)
            continue;
        /* What the UDP header says, but never more than the IP packet has. */
        i64 room = ip.total - ip.header, declared = (i64)number(p + ip.header + 4, 2);
        declared = (declared < room ? declared : room) - 8;
        if (declared < 0)
            continue;
        i64 there = left - ip.header - 8;
        plain[i] = 1;
        found++;
        payload[i] = start[i] + link + ip.header + 8;
        length[i] = there < declared ? there : declared;
        missing[i] = declared - length[i];
        __builtin_memcpy(source + 2 * i, ip.source, sizeof ip.source);
        __builtin_memcpy(destination + 2 * i, ip.destination, sizeof ip.destination);
        source_port[i] = (u16)number(p + ip.header, 2);
        destination_port[i] = (u16)number(p + ip.header + 2, 2);
    }
    return found;
}

/* Columns of collector/decode/packet.py's Packets that a plain frame has. */
struct packets {
    u8 *depth, *ip_version, *protocol, *has_tcp;
    u16 *ethernet_type, *source_port, *destination_port, *tcp_flags;
    u32 *tcp_sequence;
    u64 *source_mac, *destination_mac, *source, *destination;
    i64 *ip_octets, *network, *transport, *payload, *payload_octets;
};

/* Take plain Ethernet frames apart: IP without tags, options or fragments, and all of the header of
 * TCP, UDP or ICMP behind it. `plain` says which frames are; only their columns are filled.
 */
i64 flowlab_dissect(const u8 *b, i64 size, const i64 *start, const i64 *captured, i64 count,
                    u8 *plain, const struct packets *out)
{
    i64 found = 0;
    for (i64 i = 0; i < count; i++) {
        struct network ip;
        const u8 *frame = b + start[i];
        SOON(i + AHEAD < count, b + start[i + AHEAD] + 14);
        i64 left = captured[i] - 14;
        plain[i] = 0;
        if (start[i] < 0 || captured[i] > size - start[i] || left < 20)
            continue;
        u64 type = number(frame + 12, 2);
        const u8 *p = frame + 14;
        if (!plain_network(p, left, type, &ip))
            continue;
        const u8 *t = p + ip.header;
        i64 behind = ip.total - ip.header, there = left - ip.header, payload = 0, octets = behind;
        u16 source_port = 0, destination_port, flags = 0;
        u32 sequence = 0;
        u8 tcp = 0;
        if (ip.protocol == TCP) {
            if (there < 20 || behind < 20)
                continue;
            u64 word = number(t + 12, 2);
            i64 header = (i64)(word >> 12) * 4;
            if (header < 20 || header > behind)
                continue;
            tcp = 1;
            flags = word & 0x0FFF;
            sequence = (u32)number(t + 4, 4);
            payload = header;
            octets = behind - header;
        } else if (ip.protocol == UDP) {
            if (there < 8 || behind < 8)
                continue;
            i64 declared = (i64)number(t + 4, 2);
            payload = 8;
            octets = (declared < behind ? declared : behind) - 8;
        } else if (ip.protocol != (ip.version == 4 ? ICMP : ICMPV6) || there < 4 || behind < 4) {
            continue;
        }
        if (tcp || ip.protocol == UDP) {
            source_port = (u16)number(t, 2);
            destination_port = (u16)number(t + 2, 2);
        } else {
            destination_port = (u16)number(t, 2);
        }
        i64 network = start[i] + 14;
        plain[i] = 1;
        found++;
        out->depth[i] = 3;
        out->destination_mac[i] = number(frame, 6);
        out->source_mac[i] = number(frame + 6, 6);
        out->ethernet_type[i] = (u16)type;
        out->ip_version[i] = ip.version;
        out->protocol[i] = ip.protocol;
        __builtin_memcpy(out->source + 2 * i, ip.source, sizeof ip.source);
        __builtin_memcpy(out->destination + 2 * i, ip.destination, sizeof ip.destination);
        out->source_port[i] = source_port;
        out->destination_port[i] = destination_port;
        out->tcp_flags[i] = flags;
        out->tcp_sequence[i] = sequence;
        out->has_tcp[i] = tcp;
        out->ip_octets[i] = ip.total;
        out->network[i] = network;
        out->transport[i] = network + ip.header;
        out->payload[i] = payload ? network + ip.header + payload : 0;
        out->payload_octets[i] = octets;
    }
    return found;
}

/* ---------------------------------------------------------------- sets, records, samples */

/* The sets of messages (collector/decode/sets.py): their owner, id, content and end.
 *
 * `room` is how many there may be. Returns how many there are, or ODD.
 */
i64 flowlab_sets(const u8 *b, i64 size, const i64 *begin, const i64 *end, i64 count, i64 *message,
                 i64 *id, i64 *content, i64 *set_end, i64 room)
{
    i64 found = 0;
    for (i64 i = 0; i < count; i++) {
        i64 at = begin[i];
        SOON(i + AHEAD < count, b + begin[i + AHEAD]);
        if (at < 0 || end[i] > size)
            return ODD;
        while (at < end[i]) {
            if (end[i] - at < 4 || found == room)
                return ODD;
            i64 length = (i64)number(b + at + 2, 2);
            if (length < 4 || length > end[i] - at)
                return ODD;
            message[found] = i;
            id[found] = (i64)number(b + at, 2);
            content[found] = at + 4;
            at += length;
            set_end[found++] = at;
        }
    }
    return found;
}

/* The records of sets with fields of variable length (collector/decode/layout.py).
 *
 * A record has `segments` segments of these widths; behind each but the last is a value that says
 * how long it is (RFC 7011 section 7). Fills `owner`, `places` (a row of segments for each record)
 * and, for each set, `rest`: where its last record ends. Returns how many records, or ODD.
 */
i64 flowlab_records(const u8 *b, i64 size, const i64 *start, const i64 *end, i64 count,
                    const i64 *widths, i64 segments, i64 minimum, i64 *owner, i64 *places,
                    i64 *rest, i64 room)
{
    i64 found = 0;
    for (i64 i = 0; i < count; i++) {
        i64 at = start[i], until = end[i];
        SOON(i + AHEAD < count, b + start[i + AHEAD]);
        if (at < 0 || until > size)
            return ODD;
        while (until - at >= minimum) {
            if (found == room)
                return ODD;
            i64 *row = places + found * segments;
            for (i64 segment = 0; segment < segments; segment++) {
                row[segment] = at;
                at += widths[segment];
                if (segment == segments - 1)
                    break;
                if (at >= until)
                    return ODD;
                i64 length = b[at++];
                if (length == 255) {
                    if (until - at < 2)
                        return ODD;
                    length = (i64)number(b + at, 2);
                    at += 2;
                }
                at += length;
            }
            if (at > until)
                return ODD;
            owner[found++] = i;
        }
        rest[i] = at;
    }
    return found;
}

/* The samples of datagrams, or the records of samples (collector/decode/sflow.py): format, content.
 *
 * From each place on there are `wanted` of them. Returns how many there are in all, or ODD.
 */
i64 flowlab_items(const u8 *b, i64 size, const i64 *begin, const i64 *end, const i64 *wanted,
                  i64 count, i64 *owner, i64 *format, i64 *content, i64 *item_end, i64 room)
{
    i64 found = 0;
    for (i64 i = 0; i < count; i++) {
        i64 at = begin[i];
        SOON(i + AHEAD < count, b + begin[i + AHEAD]);
        if (at < 0 || end[i] > size)
            return ODD;
        for (i64 item = 0; item < wanted[i]; item++) {
            if (end[i] - at < 8 || found == room)
                return ODD;
            i64 length = (i64)number(b + at + 4, 4) + 8;
            if (length > end[i] - at)
                return ODD;
            owner[found] = i;
            format[found] = (i64)number(b + at, 4);
            content[found] = at + 8;
            item_end[found++] = at + length;
            /* XDR fills up to four octets (RFC 4506 section 3); behind the last one they may lack. */
            at += (length + 3) & ~(i64)3;
            if (at > end[i])
                at = end[i];
        }
    }
    return found;
}

/* ---------------------------------------------------------------- keys and sums */

static inline u64 mixed(u64 seed, const u64 *const *words, i64 count, i64 row)
{
    u64 value = seed;
    for (i64 word = 0; word < count; word++) {
        value ^= words[word][row];
        value *= 0x9E3779B97F4A7C15ull;
        value ^= value >> 32;
    }
    return value * 0x9E3779B97F4A7C15ull;
}

/* Numbers for keys (collector/keytable.py): those that are known, and the next ones for new keys.
 *
 * `places` has 1 << bits places; `keys` has a row of `capacity` words for each word of a key, of which
 * the first belongs to nobody. `known` counts the keys. Begins with row `from`; returns the row that it
 * came to: all, or the first whose key is new while there is no room for it.
 */
i64 flowlab_keys(int32_t *places, i64 bits, u64 *keys, i64 capacity, i64 *known, u64 seed,
                 const u64 *const *words, i64 count, i64 from, i64 rows, i64 *numbers)
{
    enum { TOGETHER = 64 };
    u64 mask = ((u64)1 << bits) - 1, begin[TOGETHER];
    for (i64 first = from; first < rows; first += TOGETHER) {
        i64 some = rows - first < TOGETHER ? rows - first : TOGETHER;
        for (i64 i = 0; i < some; i++) {
            begin[i] = mixed(seed, words, count, first + i) >> (64 - bits);
            __builtin_prefetch(places + begin[i]);
        }
        for (i64 i = 0; i < some; i++)
            for (i64 word = 0; word < count; word++)
                __builtin_prefetch(keys + word * capacity + places[begin[i]]);
        for (i64 i = 0; i < some; i++) {
            i64 row = first + i;
            u64 place = begin[i];
            for (;;) {
                i64 candidate = places[place];
                if (!candidate) {
                    if (*known + 2 > capacity)
                        return row;
                    candidate = ++*known;
                    places[place] = (int32_t)candidate;
                    for (i64 word = 0; word < count; word++)
                        keys[word * capacity + candidate] = words[word][row];
                } else {
                    i64 word = 0;
                    while (word < count && keys[word * capacity + candidate] == words[word][row])
                        word++;
                    if (word < count) {
                        place = (place + 1) & mask;
                        continue;
                    }
                }
                numbers[row] = candidate - 1;
                break;
            }
        }
    }
    return rows;
}

/* What is kept for each number, and what one row brings to it. */
#define EACH(type, change)                                       \
    for (i64 row = 0; row < rows; row++) {                       \
        SOON(row + AHEAD < rows, kept + numbers[row + AHEAD]);   \
        type *there = kept + numbers[row];                       \
        change;                                                  \
    }

void flowlab_count(u64 *kept, const i64 *numbers, i64 rows)
{
    EACH(u64, ++*there)
}

void flowlab_add(u64 *kept, const i64 *numbers, i64 rows, const u64 *values)
{
    EACH(u64, *there += values[row])
}

void flowlab_or(u32 *kept, const i64 *numbers, i64 rows, const u32 *values)
{
    EACH(u32, *there |= values[row])
}

void flowlab_least(i64 *kept, const i64 *numbers, i64 rows, const i64 *values)
{
    EACH(i64, if (values[row] < *there) *there = values[row])
}

void flowlab_greatest(i64 *kept, const i64 *numbers, i64 rows, const i64 *values)
{
    EACH(i64, if (values[row] > *there) *there = values[row])
}

/* ---------------------------------------------------------------- making datagrams */

/* Put pieces of a buffer to their places in another one (collector/encode/pieces.py). */
i64 flowlab_put(u8 *out, i64 room, const i64 *at, i64 rows, const u8 *b, i64 size, const i64 *offset,
                const i64 *length)
{
    for (i64 row = 0; row < rows; row++) {
        i64 to = at[row], from = offset[row], octets = length[row];
        if (octets < 0 || from < 0 || to < 0 || from > size - octets || to > room - octets)
            return ODD;
        copy(out + to, b + from, octets);
    }
    return 0;
}

/* How many records are written field by field: so many stay in the nearest cache. */
enum { TOGETHER = 64, PLACE = 0, OCTETS, COLUMN, STRIDE, SIZE, SIGNED, OF_FIELD };

#define INLINED static inline __attribute__((always_inline))

/* A number of 1, 2, 4 or 8 octets as this machine has them. */
INLINED i64 native(const u8 *at, i64 size, i64 is_signed)
{
    union { u8 one; u16 two; u32 four; i64 eight; } n;
    __builtin_memcpy(&n, at, (u64)size);
    switch (size) {
    case 1: return is_signed ? (i64)(int8_t)n.one : (i64)n.one;
    case 2: return is_signed ? (i64)(int16_t)n.two : (i64)n.two;
    case 4: return is_signed ? (i64)(int32_t)n.four : (i64)n.four;
    default: return n.eight;
    }
}

/* The last octets of a number, the first one first. */
INLINED void big_endian(u8 *to, i64 number, i64 octets)
{
    u64 value = (u64)number << (64 - 8 * octets);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    __builtin_memcpy(to, &value, (u64)octets);
}

/* Put one field into some records. With a size and a width that the compiler knows it is a few
 * instructions for each. */
INLINED void put_field(u8 *out, const i64 *at, i64 rows, const i64 *field, i64 size, i64 octets)
{
    const u8 *from = (const u8 *)(uintptr_t)field[COLUMN];
    i64 step = field[STRIDE], is_signed = field[SIGNED];
    out += field[PLACE];
    for (i64 row = 0; row < rows; row++, from += step)
        big_endian(out + at[row], native(from, size, is_signed), octets);
}

/* Write records of `width` octets to their places: first what they have in common, then the fields in
 * which they differ (collector/encode/records.py).
 *
 * Of a field: its place in the record, its octets there, the address of its column, how far apart the
 * values are, the size of each (1, 2, 4 or 8 octets in the machine's order; 0: octets as they are),
 * whether they are signed. Returns 0, or ODD if a record is not all inside, or a field not.
 */
i64 flowlab_pack(u8 *out, i64 room, const i64 *at, i64 rows, const u8 *same, i64 width, const i64 *fields,
                 i64 count)
{
    for (i64 row = 0; row < rows; row++)
        if (at[row] < 0 || at[row] > room - width)
            return ODD;
    for (const i64 *field = fields; field < fields + OF_FIELD * count; field += OF_FIELD)
        if (field[PLACE] < 0 || field[OCTETS] < 0 || field[OCTETS] > width - field[PLACE] ||
            (field[SIZE] && (field[OCTETS] < 1 || field[OCTETS] > 8)))
            return ODD;
    for (i64 begin = 0; begin < rows; begin += TOGETHER) {
        const i64 *to = at + begin, some = rows - begin < TOGETHER ? rows - begin : TOGETHER;
        for (i64 row = 0; row < some; row++)
            copy(out + to[row], same, width);
        for (i64 n = 0; n < count; n++) {
            i64 field[OF_FIELD];
            for (int i = 0; i < OF_FIELD; i++)
                field[i] = fields[OF_FIELD * n + i];
            i64 octets = field[OCTETS];
            field[COLUMN] += begin * field[STRIDE];
            switch (field[SIZE] << 4 | (octets < 9 ? octets : 0)) {
#define BOTH(size, octets) \
    case size << 4 | octets: put_field(out, to, some, field, size, octets); break
                BOTH(1, 1); BOTH(2, 1); BOTH(4, 1); BOTH(8, 1);
                BOTH(1, 2); BOTH(2, 2); BOTH(4, 2); BOTH(8, 2);
                BOTH(1, 4); BOTH(2, 4); BOTH(4, 4); BOTH(8, 4);
                BOTH(1, 8); BOTH(2, 8); BOTH(4, 8); BOTH(8, 8);
                BOTH(8, 6); /* MAC addresses */
#undef BOTH
            default:
                if (field[SIZE]) {
                    put_field(out, to, some, field, field[SIZE], octets);
                    break;
                }
                const u8 *from = (const u8 *)(uintptr_t)field[COLUMN];
                for (i64 row = 0; row < some; row++)
                    copy(out + to[row] + field[PLACE], from + row * field[STRIDE], octets);
            }
        }
    }
    return 0;
}

/* Add up the little-endian 32-bit words of pieces of a buffer (collector/encode/checksum.py). */
i64 flowlab_sums(const u8 *b, i64 size, const i64 *offset, const i64 *length, i64 rows, u64 *sums)
{
    for (i64 row = 0; row < rows; row++) {
        i64 from = offset[row], left = length[row];
        if (left < 0 || from < 0 || from > size - left)
            return ODD;
        const u8 *p = b + from;
        u64 sum = 0, other = 0;
        for (; left >= 8; left -= 8, p += 8) {
            sum += (u32)p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24;
            other += (u32)p[4] | (u32)p[5] << 8 | (u32)p[6] << 16 | (u32)p[7] << 24;
        }
        sum += other;
        for (; left >= 4; left -= 4, p += 4)
            sum += (u32)p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24;
        for (int shift = 0; left > 0; left--, shift += 8)
            sum += (u64)*p++ << shift;
        sums[row] = sum;
    }
    return 0;
}

/* ---------------------------------------------------------------- receiving */

/* struct mmsghdr of 64-bit Linux, recvmmsg(2). */
struct message {
    u64 name;
    u32 name_octets, unused;
    u64 parts, part_count, control, control_octets;
    int32_t flags;
    u32 unused_too;
    u32 octets, unused_again;
};

/* struct pollfd, poll(2). */
struct watched {
    int32_t descriptor;
    int16_t wanted, found;
};

/* What is asked of the C library, which this one is not linked with. */
struct calls {
    int (*poll)(struct watched *, u64, int);
    int (*recvmmsg)(int, struct message *, unsigned, int, void *);
    int (*nanosleep)(const i64 *, i64 *);
    i64 (*write)(int, const void *, u64);
    int *(*error)(void);
};

/* Take datagrams out of a socket into a ring of `room` messages, until told to stop.
 *
 * For threads that need nothing of Python's: nobody who computes makes them wait. Several may fill one
 * ring, each on a processor of its own: all are woken, who comes first has its `turn`, so everything
 * stays in order. `taken` and `given` count messages from the start, those that were filled and those
 * that may be filled again; `event` is told of new ones. Returns 0, or the error's number.
 */
i64 flowlab_take(const struct calls *libc, i64 socket, i64 event, struct message *ring, i64 room,
                 u64 *turn, u64 *taken, const u64 *given, const i64 *stop)
{
    enum { AT_ONCE = 0x40, READABLE = 1, LOOK_MS = 200, FEW = 32, MOST = 1024 };
    enum { INTERRUPTED = 4, AGAIN = 11, REFUSED = 111 };
    const i64 nap[2] = {0, 300000};
    const u64 one = 1;
    while (!__atomic_load_n(stop, __ATOMIC_RELAXED)) {
        struct watched there = {(int32_t)socket, READABLE, 0};
        int count = 0, error = 0;
        if (libc->poll(&there, 1, LOOK_MS) <= 0)
            continue;
        if (!__atomic_exchange_n(turn, 1, __ATOMIC_ACQUIRE)) {
            i64 left = room - (i64)(*taken - __atomic_load_n(given, __ATOMIC_ACQUIRE));
            i64 at = (i64)(*taken % (u64)room), some = room - at < left ? room - at : left;
            some = some < MOST ? some : MOST;
            if (some > 0)
                count = libc->recvmmsg((int)socket, ring + at, (unsigned)some, AT_ONCE, 0);
            if (count < 0)
                error = *libc->error();
            if (count > 0)
                __atomic_store_n(taken, *taken + (u64)count, __ATOMIC_RELEASE);
            __atomic_store_n(turn, 0, __ATOMIC_RELEASE);
        }
        if (error && error != AGAIN && error != INTERRUPTED && error != REFUSED)
            return error;
        if (count > 0)
            libc->write((int)event, &one, sizeof one);
        /* A call costs as much as several datagrams: let some gather. */
        if (count < FEW)
            libc->nanosleep(nap, 0);
    }
    return 0;
}
