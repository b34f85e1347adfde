// SPDX-License-Identifier: Apache-2.0
package gantry.host.plugin;

import java.io.IOException;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** The plugins that are loaded, by the worker's numbers. Thread: any. */
public final class Plugins {
    private final Map<Long, Plugin> loaded = new ConcurrentHashMap<>();
    private final Apis apis;

    public Plugins(String library) {
        apis = new Apis(library);
    }

    public Plugin load(long id, String path, String name) throws IOException {
        Plugin plugin = Plugin.open(path, name, apis);
        loaded.put(id, plugin);
        return plugin;
    }

    public Plugin.Entry entry(long id, String className) throws ClassNotFoundException {
        Plugin plugin = loaded.get(id);
        if (plugin == null) {
            throw new ClassNotFoundException("plugin " + id + " of '" + className + "' is not loaded");
        }
        return plugin.entry(className);
    }

    public void unload(long id) throws IOException {
        Plugin plugin = loaded.remove(id);
        if (plugin != null) {
            plugin.close();
        }
    }
}
