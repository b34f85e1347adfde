// SPDX-License-Identifier: Apache-2.0
package gantry.host.plugin;

import java.io.IOException;

/** A file that is no plugin for this host; the text says which and why, and is whole. */
public final class PluginException extends IOException {
    private static final long serialVersionUID = 1;

    PluginException(String text, Throwable cause) {
        super(text, cause);
    }
}
