// SPDX-License-Identifier: Apache-2.0
package gantry.host.plugin;

import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;

/** The head of a class file: whose subclass it is. Read without loading it, so nothing of the plugin runs. JVMS 4.1. */
final class ClassFile {
    private static final int PUBLIC = 1;
    private static final int INTERFACE = 0x200;
    private static final int ABSTRACT = 0x400;

    final String name;
    /** Null for java.lang.Object only. */
    final String superName;
    private final int access;

    private ClassFile(String name, String superName, int access) {
        this.name = name;
        this.superName = superName;
        this.access = access;
    }

    /** Whether an object of it can be made from outside. */
    boolean isConcrete() {
        return (access & PUBLIC) != 0 && (access & (INTERFACE | ABSTRACT)) == 0;
    }

    /** @return null when it is no class file, or one of a form that is not known */
    static ClassFile read(InputStream in) throws IOException {
        DataInputStream data = new DataInputStream(in);
        if (data.readInt() != 0xcafebabe) {
            return null;
        }
        data.readInt(); // versions
        int count = data.readUnsignedShort();
        String[] texts = new String[count];
        int[] classes = new int[count];
        for (int i = 1; i < count; i++) {
            int tag = data.readUnsignedByte();
            switch (tag) {
                case 1:
                    texts[i] = data.readUTF();
                    break;
                case 7:
                    classes[i] = data.readUnsignedShort();
                    break;
                case 8: case 16: case 19: case 20:
                    data.readUnsignedShort();
                    break;
                case 15:
                    data.readUnsignedByte();
                    data.readUnsignedShort();
                    break;
                case 3: case 4: case 9: case 10: case 11: case 12: case 17: case 18:
                    data.readInt();
                    break;
                case 5: case 6:
                    data.readLong();
                    i++; // takes two places
                    break;
                default:
                    return null;
            }
        }
        int access = data.readUnsignedShort();
        String name = at(texts, classes, data.readUnsignedShort());
        String superName = at(texts, classes, data.readUnsignedShort());
        return name == null ? null : new ClassFile(name, superName, access);
    }

    private static String at(String[] texts, int[] classes, int index) {
        String text = index < classes.length ? texts[classes[index]] : null;
        return text == null ? null : text.replace('/', '.');
    }
}
