// SPDX-License-Identifier: Apache-2.0
package gantry.host.plugin;

import gantry.host.log.Errors;
import gantry.host.log.Log;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Enumeration;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * A plugin's own classes: child first, so that what it brings along is what it uses. But for the API, the JDK and the
 * logging interface: those are shared with the host, and a copy of them in a fat jar is ignored. What the shared packages
 * lack may still come from the plugin, for people put classes of their own there too.
 */
final class PluginLoader extends URLClassLoader {
    static {
        registerAsParallelCapable();
    }

    private static final String[] SHARED = {
        "java.", "javax.", "jdk.", "sun.", "com.sun.", "org.w3c.dom.", "org.xml.sax.", "org.ietf.jgss.", "org.slf4j.", "gantry.",
    };

    private static final String SERVICES = "META-INF/services/";

    private final String apiPackages;

    PluginLoader(List<URL> jars, ClassLoader parent, String apiPackages) {
        super(jars.toArray(new URL[0]), parent);
        this.apiPackages = apiPackages;
    }

    private boolean isShared(String name) {
        if (name.startsWith(apiPackages)) {
            return true;
        }
        for (String prefix : SHARED) {
            if (name.startsWith(prefix)) {
                return true;
            }
        }
        return false;
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
        synchronized (getClassLoadingLock(name)) {
            Class<?> found = findLoadedClass(name);
            if (found == null) {
                found = isShared(name) ? parentThenOwn(name) : ownThenParent(name);
            }
            if (resolve) {
                resolveClass(found);
            }
            return found;
        }
    }

    private Class<?> parentThenOwn(String name) throws ClassNotFoundException {
        try {
            return getParent().loadClass(name);
        } catch (ClassNotFoundException e) {
            return findClass(name);
        }
    }

    private Class<?> ownThenParent(String name) throws ClassNotFoundException {
        try {
            return findClass(name);
        } catch (ClassNotFoundException e) {
            return getParent().loadClass(name);
        }
    }

    /** The jars are closed, and what the JDK keeps of the plugin is taken back. Once. */
    @Override
    public void close() throws IOException {
        try (InputStream in = PluginLoader.class.getResourceAsStream("Drivers.class")) {
            ByteArrayOutputStream code = new ByteArrayOutputStream();
            byte[] part = new byte[4096];
            for (int size = in.read(part); size > 0; size = in.read(part)) {
                code.write(part, 0, size);
            }
            Class<?> drivers = defineClass(Drivers.class.getName(), code.toByteArray(), 0, code.size());
            drivers.getMethod("forget").invoke(null);
        } catch (ReflectiveOperationException | LinkageError e) {
            Log.write(Log.WARN, "plugin", "its JDBC drivers cannot be taken back: " + Errors.text(e));
        } finally {
            super.close();
        }
    }

    /** Providers of a service whose class is the plugin's own: those of the parents are none, for theirs is another class of that name. */
    private boolean isOwnService(String name) {
        String service = name.startsWith(SERVICES) ? name.substring(SERVICES.length()) : "";
        return !service.isEmpty() && !isShared(service) && findResource(service.replace('.', '/') + ".class") != null;
    }

    @Override
    public URL getResource(String name) {
        URL own = findResource(name);
        return own != null ? own : getParent().getResource(name);
    }

    @Override
    public Enumeration<URL> getResources(String name) throws IOException {
        Set<String> seen = new LinkedHashSet<>();
        List<URL> all = new ArrayList<>();
        for (URL url : Collections.list(findResources(name))) {
            if (seen.add(url.toString())) {
                all.add(url);
            }
        }
        for (URL url : isOwnService(name) ? Collections.<URL>emptyList() : Collections.list(getParent().getResources(name))) {
            if (seen.add(url.toString())) {
                all.add(url);
            }
        }
        return Collections.enumeration(all);
    }
}
