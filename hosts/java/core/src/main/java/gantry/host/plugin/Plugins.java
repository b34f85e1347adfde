// SPDX-License-Identifier: Apache-2.0
package gantry.host.plugin;

import java.io.IOException;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;

/** The plugins that are loaded, or are being loaded, by the worker's numbers. Thread: any. */
public final class Plugins {
    private final Map<Long, CompletableFuture<Plugin>> plugins = new ConcurrentHashMap<>();
    private final Apis apis;

    public Plugins(String library) {
        apis = new Apis(library);
    }

    /** LOAD has come: from here on others may name this plugin, and wait for it. */
    public void announce(long id) {
        plugins.put(id, new CompletableFuture<>());
    }

    /** Open what has been announced. */
    public Plugin load(long id, String path, String name) throws IOException {
        CompletableFuture<Plugin> announced = plugins.get(id);
        try {
            Plugin plugin = Plugin.open(path, name, apis);
            announced.complete(plugin);
            return plugin;
        } catch (Throwable e) {
            announced.completeExceptionally(e);
            throw e;
        }
    }

    /** Run {@code then} when the plugin is loaded or has failed to; false: it is so already, and nothing is run. */
    public boolean whenLoaded(long id, Runnable then) {
        CompletableFuture<Plugin> announced = plugins.get(id);
        if (announced == null || announced.isDone()) {
            return false;
        }
        announced.whenComplete((plugin, error) -> then.run());
        return true;
    }

    /** A connector of a plugin. Waits while that is being loaded. */
    public Plugin.Entry entry(long id, String className) throws ClassNotFoundException, InterruptedException {
        CompletableFuture<Plugin> announced = plugins.get(id);
        if (announced == null) {
            throw new ClassNotFoundException("plugin " + id + " of '" + className + "' is not loaded");
        }
        try {
            return announced.get().entry(className);
        } catch (ExecutionException e) {
            throw new ClassNotFoundException("plugin " + id + " of '" + className + "' could not be loaded", e.getCause());
        }
    }

    public void unload(long id) throws IOException {
        CompletableFuture<Plugin> plugin = plugins.remove(id);
        if (plugin != null && plugin.isDone() && !plugin.isCompletedExceptionally()) {
            plugin.join().close();
        }
    }
}
