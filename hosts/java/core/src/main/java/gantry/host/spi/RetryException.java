// SPDX-License-Identifier: Apache-2.0
package gantry.host.spi;

/** The records could not be put now, and nothing of them has been: give the same again. */
public final class RetryException extends Exception {
    private static final long serialVersionUID = 1;

    /** When to try again; 0: as the host thinks. */
    public final long delayMs;

    public RetryException(Throwable cause, long delayMs) {
        super(cause);
        this.delayMs = delayMs;
    }
}
