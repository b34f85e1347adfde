// SPDX-License-Identifier: Apache-2.0
package gantry.host.task;

/** A failure that the host itself has found; its text is whole. */
final class TaskFailure extends Exception {
    private static final long serialVersionUID = 1;

    TaskFailure(String text) {
        super(text);
    }
}
