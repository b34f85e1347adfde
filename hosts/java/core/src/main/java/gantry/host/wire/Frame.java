// SPDX-License-Identifier: Apache-2.0
package gantry.host.wire;

/** The numbers of docs/formats/host-protocol.md. */
public final class Frame {
    public static final int VERSION = 1;
    public static final int PART = 1;
    public static final int HELLO = 2;
    public static final int LOAD = 3;
    public static final int LOADED = 4;
    public static final int FAILED = 5;
    public static final int VALIDATE = 6;
    public static final int FINDINGS = 7;
    public static final int SPLIT = 8;
    public static final int TASKS = 9;
    public static final int RELEASE = 10;
    public static final int RECONFIGURE = 11;
    public static final int UNLOAD = 12;
    public static final int BEAT = 13;
    public static final int LOG = 14;
    public static final int START = 20;
    public static final int STARTED = 21;
    public static final int STOP = 22;
    public static final int STOPPED = 23;
    public static final int COMMITTED = 24;
    public static final int LAG = 25;
    public static final int RECORDS = 30;
    public static final int CREDIT = 31;
    public static final int POSITION = 32;
    public static final int POSITION_IS = 33;
    public static final int POSITIONS = 34;
    public static final int POSITIONS_ARE = 35;
    public static final int TOGETHER = 36;
    public static final int PUT = 40;
    public static final int TAKEN = 41;
    public static final int CHECKPOINT = 42;
    public static final int STATE = 43;
    public static final int FLUSH = 44;
    public static final int FLUSHED = 45;
    public static final int CAUGHT_UP = 46;
    public static final int HOLD = 47;
    public static final int SEEK = 48;
    public static final int COMMIT = 49;
    public static final int SCHEMA = 50;
    public static final int ASIDE = 51;

    /** The longest frame; a longer one goes in PARTs. */
    public static final int MAX = 16 << 20;
    /** What one frame of records may have, unless it is a single record. */
    public static final int RECORDS_BYTES = 1 << 20;
    public static final int RECORDS_COUNT = 4096;
    /** What a record counts besides its value and key. */
    public static final int RECORD_COST = 64;
    /** What a header counts besides its name and value. */
    public static final int HEADER_COST = 32;

    /** Errors of gantry/error.h that a host has a use for. */
    public static final int AGAIN = -1;
    public static final int NO_MEMORY = -2;
    public static final int INVALID = -3;
    public static final int NOT_FOUND = -4;
    public static final int IO = -6;
    public static final int CLOSED = -10;
    public static final int TOO_LARGE = -11;
    public static final int TIMEOUT = -14;
    public static final int UNSUPPORTED = -16;

    private Frame() {
    }
}
