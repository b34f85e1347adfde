// SPDX-License-Identifier: Apache-2.0
package gantry.host.plugin;

import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.MalformedURLException;
import java.net.URL;
import java.security.SecureClassLoader;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Enumeration;
import java.util.List;
import java.util.TreeSet;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;

/**
 * Loads from folders within the host's own jar. An API's jars lie there unpacked, each in a folder of its own, so
 * that the two OpenMessaging generations, which have classes of the same names, fit into one jar; and they are opened
 * in place: nothing is written to a disk.
 */
final class NestedLoader extends SecureClassLoader {
    static {
        registerAsParallelCapable();
    }

    private final JarFile jar;
    private final List<String> folders;
    private final String base;

    private NestedLoader(JarFile jar, List<String> folders, ClassLoader parent) {
        super(parent);
        this.jar = jar;
        this.folders = folders;
        this.base = "jar:" + new java.io.File(jar.getName()).toURI() + "!/";
    }

    /** @param top folder within the jar, with a slash; what lies in it are the unpacked jars */
    static NestedLoader of(JarFile jar, String top, ClassLoader parent) {
        TreeSet<String> folders = new TreeSet<>();
        for (Enumeration<JarEntry> entries = jar.entries(); entries.hasMoreElements();) {
            String name = entries.nextElement().getName();
            int slash = name.startsWith(top) ? name.indexOf('/', top.length()) : -1;
            if (slash > 0) {
                folders.add(name.substring(0, slash + 1));
            }
        }
        if (folders.isEmpty()) {
            throw new IllegalStateException(jar.getName() + " has no " + top + "; build it with make java-host");
        }
        return new NestedLoader(jar, new ArrayList<>(folders), parent);
    }

    @Override
    protected Class<?> findClass(String name) throws ClassNotFoundException {
        String path = name.replace('.', '/') + ".class";
        for (String folder : folders) {
            JarEntry entry = jar.getJarEntry(folder + path);
            if (entry != null) {
                try {
                    byte[] bytes = new byte[(int) entry.getSize()];
                    try (InputStream in = jar.getInputStream(entry)) {
                        new DataInputStream(in).readFully(bytes);
                    }
                    return defineClass(name, bytes, 0, bytes.length);
                } catch (IOException e) {
                    throw new ClassNotFoundException(name, e);
                }
            }
        }
        throw new ClassNotFoundException(name);
    }

    private URL url(String path) {
        try {
            return new URL(base + path);
        } catch (MalformedURLException e) {
            return null;
        }
    }

    @Override
    protected URL findResource(String name) {
        for (String folder : folders) {
            if (jar.getJarEntry(folder + name) != null) {
                return url(folder + name);
            }
        }
        return null;
    }

    @Override
    protected Enumeration<URL> findResources(String name) {
        List<URL> found = new ArrayList<>();
        for (String folder : folders) {
            if (jar.getJarEntry(folder + name) != null) {
                found.add(url(folder + name));
            }
        }
        return Collections.enumeration(found);
    }
}
