// SPDX-License-Identifier: Apache-2.0
package gantry.adapter.logging;

import gantry.host.log.Log;
import org.slf4j.Marker;
import org.slf4j.event.Level;
import org.slf4j.helpers.LegacyAbstractLogger;
import org.slf4j.helpers.MessageFormatter;

/** A logger whose lines become LOG frames. Thread: any. */
final class HostLogger extends LegacyAbstractLogger {
    private static final long serialVersionUID = 1;

    /** Libraries that tell each heartbeat, or each setting of each object: from them warnings, unless everything is wanted. */
    private final boolean chats;

    HostLogger(String name) {
        this.name = name;
        this.chats = name.startsWith("Rocketmq") || name.startsWith("org.apache.kafka.") && name.endsWith("Config");
    }

    private static int level(Level level) {
        switch (level) {
            case ERROR:
                return Log.ERROR;
            case WARN:
                return Log.WARN;
            case INFO:
                return Log.INFO;
            default:
                return Log.DEBUG;
        }
    }

    @Override
    protected void handleNormalizedLoggingCall(Level level, Marker marker, String text, Object[] arguments, Throwable error) {
        Log.trace(level(level), name, MessageFormatter.basicArrayFormat(text, arguments), error);
    }

    @Override
    protected String getFullyQualifiedCallerName() {
        return null;
    }

    @Override
    public boolean isTraceEnabled() {
        return false;
    }

    @Override
    public boolean isDebugEnabled() {
        return Log.on(Log.DEBUG);
    }

    @Override
    public boolean isInfoEnabled() {
        return Log.on(chats ? Log.DEBUG : Log.INFO);
    }

    @Override
    public boolean isWarnEnabled() {
        return Log.on(Log.WARN);
    }

    @Override
    public boolean isErrorEnabled() {
        return Log.on(Log.ERROR);
    }
}
