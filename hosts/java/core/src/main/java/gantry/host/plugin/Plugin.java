// SPDX-License-Identifier: Apache-2.0
package gantry.host.plugin;

import gantry.host.log.Errors;
import gantry.host.log.Log;
import gantry.host.spi.Api;
import gantry.host.spi.Description;
import gantry.host.wire.Halt;
import java.io.Closeable;
import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.jar.Manifest;

/** A loaded plugin: a jar or a folder of jars, with the connectors that were found in it. Thread: any once it is made. */
public final class Plugin implements Closeable {
    /** One connector class. */
    public static final class Entry {
        public final String className;
        public final boolean sink;
        public final String apiTitle;
        public final Api api;
        public final Class<?> type;
        public final Description description;

        Entry(String className, boolean sink, String apiTitle, Api api, Class<?> type, Description description) {
            this.className = className;
            this.sink = sink;
            this.apiTitle = apiTitle;
            this.api = api;
            this.type = type;
            this.description = description;
        }

        /** A configuration of the worker's, with the API's names for keys beside the worker's. */
        public Map<String, String> named(Map<String, String> config) {
            Map<String, String> named = new LinkedHashMap<>(config);
            api.names().forEach((worker, own) -> {
                if (config.containsKey(worker)) {
                    named.putIfAbsent(own, config.get(worker));
                }
            });
            return named;
        }
    }

    public final String name;
    public final String version;
    private final Map<String, Entry> entries = new TreeMap<>();
    private final Map<ApiKind, PluginLoader> loaders = new EnumMap<>(ApiKind.class);

    private Plugin(String name, String version) {
        this.name = name;
        this.version = version;
    }

    public Iterable<Entry> entries() {
        return entries.values();
    }

    /** @throws ClassNotFoundException naming those that are there */
    public Entry entry(String className) throws ClassNotFoundException {
        Entry entry = entries.get(className);
        if (entry == null) {
            throw new ClassNotFoundException("'" + className + "' is no connector of " + name + "; it has " + entries.keySet());
        }
        return entry;
    }

    @Override
    public void close() throws IOException {
        for (PluginLoader loader : loaders.values()) {
            loader.close();
        }
    }

    /**
     * Open and inspect.
     *
     * @throws IOException the file is not there, is no jar, or has no connector that can be used; the text says which
     */
    static Plugin open(String path, String name, Apis apis) throws IOException {
        List<File> jars = jarsOf(new File(path));
        Map<String, ClassFile> classes = new HashMap<>();
        String version = null;
        for (File jar : jars) {
            if (jar.isDirectory()) {
                scanFolder(jar, classes, 0);
                continue;
            }
            try (JarFile file = new JarFile(jar, false)) {
                scan(file, classes);
                version = version == null || jars.size() == 1 ? versionOf(file, jar) : version;
            } catch (IOException | RuntimeException e) {
                throw new PluginException(jar.getName() + " cannot be read as a jar: " + Errors.text(e), e);
            }
        }
        Plugin plugin = new Plugin(name == null || name.isEmpty() ? new File(path).getName() : name, version);
        boolean done = false;
        try {
            plugin.find(classes, jars, apis);
            done = true;
            return plugin;
        } finally {
            if (!done) {
                plugin.close();
            }
        }
    }

    private static List<File> jarsOf(File path) throws IOException {
        List<File> jars = new ArrayList<>();
        collect(path, jars, 0);
        if (jars.isEmpty() && hasClasses(path, 0)) {
            jars.add(path); // the root of packages
        }
        if (jars.isEmpty()) {
            throw new FileNotFoundException(path + (path.exists() ? " has no .jar and no .class in it" : " is not there"));
        }
        return jars;
    }

    private static void collect(File path, List<File> jars, int depth) {
        File[] inside = depth < 8 ? path.listFiles() : null;
        if (inside != null) {
            Arrays.sort(inside);
            for (File file : inside) {
                if (file.isDirectory() || file.getName().endsWith(".jar") || file.getName().endsWith(".zip")) {
                    collect(file, jars, depth + 1);
                }
            }
        } else if (path.isFile()) {
            jars.add(path);
        }
    }

    private static boolean hasClasses(File path, int depth) {
        File[] inside = depth < 32 ? path.listFiles() : null;
        for (File file : inside == null ? new File[0] : inside) {
            if (file.isDirectory() ? hasClasses(file, depth + 1) : file.getName().endsWith(".class")) {
                return true;
            }
        }
        return false;
    }

    private static void scanFolder(File folder, Map<String, ClassFile> classes, int depth) throws IOException {
        File[] inside = depth < 32 ? folder.listFiles() : null;
        for (File file : inside == null ? new File[0] : inside) {
            if (file.isDirectory()) {
                scanFolder(file, classes, depth + 1);
            } else if (file.getName().endsWith(".class")) {
                try (InputStream in = new java.io.BufferedInputStream(new java.io.FileInputStream(file))) {
                    ClassFile read = ClassFile.read(in);
                    if (read != null) {
                        classes.putIfAbsent(read.name, read);
                    }
                }
            }
        }
    }

    /** Classes that come first win, as they do when they are loaded. */
    private static void scan(JarFile jar, Map<String, ClassFile> classes) throws IOException {
        for (java.util.Enumeration<JarEntry> all = jar.entries(); all.hasMoreElements();) {
            JarEntry entry = all.nextElement();
            String path = entry.getName();
            if (!path.endsWith(".class") || path.startsWith("META-INF/") || isApi(path)) {
                continue;
            }
            try (InputStream in = jar.getInputStream(entry)) {
                ClassFile file = ClassFile.read(new java.io.BufferedInputStream(in, 4096));
                if (file != null) {
                    classes.putIfAbsent(file.name, file);
                }
            }
        }
    }

    /** Copies of an API and its libraries have no connectors of their own, and are many. */
    private static boolean isApi(String path) {
        return path.startsWith("org/apache/kafka/clients/") || path.startsWith("org/apache/kafka/common/")
                || path.startsWith("io/openmessaging/connector/api/") || path.endsWith("module-info.class");
    }

    private void find(Map<String, ClassFile> classes, List<File> jars, Apis apis) throws IOException {
        StringBuilder problems = new StringBuilder();
        for (ClassFile file : classes.values()) {
            if (file.isConcrete()) {
                String root = root(file, classes);
                for (ApiKind kind : ApiKind.values()) {
                    if (root.equals(kind.source) || root.equals(kind.sink)) {
                        add(file.name, root.equals(kind.sink), kind, jars, apis, problems);
                    }
                }
            }
        }
        if (entries.isEmpty()) {
            throw new PluginException(name + (problems.length() > 0 ? ": no connector of it can be used:" + problems
                    : " has no connector: " + whyNone(classes)), null);
        }
    }

    /** A connector's own base class may lie in a jar that is not there. */
    private static String whyNone(Map<String, ClassFile> classes) {
        for (ClassFile file : new TreeMap<>(classes).values()) {
            ClassFile top = file;
            for (int depth = 0; classes.containsKey(top.superName) && depth < 100; depth++) {
                top = classes.get(top.superName);
            }
            if (file.isConcrete() && file.name.endsWith("Connector") && top.superName != null && !top.superName.startsWith("java.")) {
                return top.name + " extends " + top.superName + ", which is not there; put it and the jars that it needs into one folder";
            }
        }
        return "no public class in it extends SourceConnector or SinkConnector of OpenMessaging (0.1.0-beta, 0.1.1, 0.1.4) or Kafka Connect";
    }

    /** The first ancestor that is an API's, though the plugin may have a copy of it; else the first that is not the plugin's. */
    private static String root(ClassFile file, Map<String, ClassFile> classes) {
        String parent = file.superName;
        for (int depth = 0; parent != null && depth < 100; depth++) {
            for (ApiKind kind : ApiKind.values()) {
                if (parent.equals(kind.source) || parent.equals(kind.sink)) {
                    return parent;
                }
            }
            ClassFile next = classes.get(parent);
            parent = next == null ? null : next.superName;
        }
        return "";
    }

    private void add(String className, boolean sink, ApiKind kind, List<File> jars, Apis apis, StringBuilder problems) {
        Thread thread = Thread.currentThread();
        ClassLoader before = thread.getContextClassLoader();
        try {
            Apis.Opened opened = apis.open(kind);
            PluginLoader loader = loaders.get(kind);
            if (loader == null) {
                List<URL> urls = new ArrayList<>();
                for (File jar : jars) {
                    urls.add(jar.toURI().toURL());
                }
                loader = new PluginLoader(urls, opened.loader, kind.packages);
                loaders.put(kind, loader);
            }
            thread.setContextClassLoader(loader);
            Class<?> type = loader.loadClass(className);
            entries.put(className, new Entry(className, sink, kind.title, opened.api, type, opened.api.describe(type, sink)));
        } catch (Throwable e) { // a plugin's class may throw anything, also an Error
            Halt.ifOutOfMemory(e);
            problems.append(' ').append(className).append(": ").append(Errors.text(e)).append(';');
            Log.write(Log.WARN, "plugin", className + " of " + name + " cannot be used: " + Errors.text(e));
        } finally {
            thread.setContextClassLoader(before);
        }
    }

    private static String versionOf(JarFile jar, File file) throws IOException {
        Manifest manifest = jar.getManifest();
        String version = manifest == null ? null : manifest.getMainAttributes().getValue("Implementation-Version");
        if (version != null) {
            return version;
        }
        java.util.regex.Matcher matcher = java.util.regex.Pattern.compile("-(\\d[\\w.-]*)\\.jar$").matcher(file.getName());
        return matcher.find() ? matcher.group(1) : null;
    }
}
