// SPDX-License-Identifier: Apache-2.0
package gantry.host.plugin;

import gantry.host.log.Log;
import gantry.host.spi.Api;
import java.io.File;
import java.io.IOException;
import java.net.URISyntaxException;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.jar.JarFile;

/**
 * The APIs, each opened when the first plugin asks for it.
 *
 * <p>The loaders, parents to the right: plugin → shared jars of the library → API and its adapter → logging → the host.
 */
final class Apis {
    /** An API and the parent of its plugins. */
    static final class Opened {
        final Api api;
        final ClassLoader loader;

        Opened(Api api, ClassLoader loader) {
            this.api = api;
            this.loader = loader;
        }
    }

    private final Map<ApiKind, Opened> opened = new EnumMap<>(ApiKind.class);
    private final File library;
    private JarFile jar;
    private ClassLoader logging;

    /** @param library folder of shared jars: those in it for all, those in `openmessaging-0.1` etc. for one API; or null */
    Apis(String library) {
        this.library = library == null || library.isEmpty() ? null : new File(library);
    }

    synchronized Opened open(ApiKind kind) throws IOException, ReflectiveOperationException {
        Opened api = opened.get(kind);
        if (api == null) {
            if (jar == null) {
                jar = new JarFile(own());
                logging = NestedLoader.of(jar, "api/logging/", Apis.class.getClassLoader());
                Log.installJul();
            }
            ClassLoader loader = NestedLoader.of(jar, "api/" + kind.folder + "/", logging);
            Api made = (Api) Class.forName(kind.adapter, true, loader).getDeclaredConstructor().newInstance();
            List<URL> shared = new ArrayList<>();
            if (library != null) {
                shared.addAll(jarsIn(library));
                shared.addAll(jarsIn(new File(library, kind.title)));
            }
            api = new Opened(made, shared.isEmpty() ? loader : new URLClassLoader(shared.toArray(new URL[0]), loader));
            opened.put(kind, api);
        }
        return api;
    }

    private static File own() throws IOException {
        try {
            return new File(Apis.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        } catch (URISyntaxException e) {
            throw new IOException(e);
        }
    }

    private static List<URL> jarsIn(File folder) throws IOException {
        List<URL> found = new ArrayList<>();
        File[] files = folder.listFiles((dir, name) -> name.endsWith(".jar"));
        if (files != null) {
            Arrays.sort(files);
            for (File file : files) {
                found.add(file.toURI().toURL());
            }
        }
        return found;
    }
}
