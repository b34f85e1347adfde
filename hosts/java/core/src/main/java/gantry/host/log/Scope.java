// SPDX-License-Identifier: Apache-2.0
package gantry.host.log;

/**
 * On whose behalf a thread works: threads that a plugin starts inherit it, so that their lines in the log carry the
 * connector and task too.
 */
public final class Scope {
    static final Scope HOST = new Scope(0, null);
    private static final InheritableThreadLocal<Scope> CURRENT = new InheritableThreadLocal<>();

    final long channel;
    final String connector;

    /** @param channel 0: the connector itself, not a task of it */
    public Scope(long channel, String connector) {
        this.channel = channel;
        this.connector = connector;
    }

    static Scope current() {
        Scope scope = CURRENT.get();
        return scope != null ? scope : HOST;
    }

    /** Work for this one from now on; null: for the host. */
    public static void enter(Scope scope) {
        if (scope == null) {
            CURRENT.remove();
        } else {
            CURRENT.set(scope);
        }
    }
}
