// SPDX-License-Identifier: Apache-2.0
package gantry.host.wire;

/** The worker has said something that the protocol does not know: the host ends with code 70. */
public final class ProtocolException extends RuntimeException {
    private static final long serialVersionUID = 1;

    public ProtocolException(String text) {
        super(text);
    }
}
